"""A release as it lies in a bucket or a folder: the Exporter's release/, or its saved_model/ alone."""

from typing import Any

from components.common import checksums, storage
from components.common import release as releases
from components.common.errors import InputError

RELEASE, SAVED_MODEL, GRAPH = releases.FILE, "saved_model", "saved_model.pb"
EXPECTED = "release/ of the Exporter, or a folder with saved_model.pb"


def locate(folder: str) -> tuple[str, dict[str, Any]]:
    """Where the SavedModel of a release is.

    Args:
        folder: A local folder.

    Returns:
        The folder with saved_model.pb, and release.json, or {} where there is none.

    Raises:
        InputError: no model, one that the gate refused, or files that are not the release's.
    """
    if not folder or not storage.exists(folder):
        raise InputError(folder or "--release, AIP_STORAGE_URI", "nothing", EXPECTED, "Name one.")
    if storage.exists(storage.join(folder, GRAPH)):
        return folder, {}
    path = storage.join(folder, RELEASE)
    if not storage.exists(path):
        raise InputError(folder, f"neither {RELEASE} nor {GRAPH}", EXPECTED, "Name another, or run the Exporter.")
    release = releases.read(path)
    verdict = release["verdict"]
    if not verdict["promote"]:
        reasons = [str(reason.get("text")) for reason in verdict.get("reasons", []) if not reason.get("passed")]
        raise InputError(
            f"{path}, field verdict",
            f"no ({'; '.join(reasons)})",
            "a model that passed the gate",
            "Name an earlier release, or train a better model.",
        )
    files = {name: facts for name, facts in release.get("files", {}).items() if name.startswith(f"{SAVED_MODEL}/")}
    checksums.expect(folder, files, RELEASE, "Copy the whole release again, or run the Exporter again.")
    return storage.join(folder, SAVED_MODEL), release
