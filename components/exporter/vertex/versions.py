"""A model's versions in the registry: which is champion, which was before it, and how that changes.

The alias `champion` (and `default`, what is served where nobody names a version) is with one version. Each version that
became champion carries the label `champion-before`, the version it took over from, so there is a way back over as many
promotions as there were; `rolled-back` marks one that was taken back.
"""

from typing import Any

from components.common.errors import InputError
from components.common.google import SECONDS, Where
from components.exporter.vertex import calls

CHAMPION, DEFAULT = "champion", "default"
BEFORE, ROLLED_BACK, MODEL_VERSION = "champion-before", "rolled-back", "model-version"
NONE = "none"
MODEL_ID = r"[a-z_-][a-z0-9_-]{0,62}"


def expect_model_name(name: str) -> None:
    expected = "at most 63 lowercase letters, digits, _ and -, no digit first"
    calls.expect_name("--model-name", name, MODEL_ID, expected)


def name_of(where: Where, model: str) -> str:
    return f"{where.parent}/models/{model}"


def page_of(where: Where, version: Any) -> str:
    """The version's page in the console."""
    model = calls.identifier(version.name)
    return where.console(f"models/locations/{where.location}/models/{model}/versions/{version.version_id}")


def of(client: Any, name: str) -> list[Any]:
    """All versions of a model by number; none where there is no such model."""
    from google.api_core import exceptions as api

    try:
        found = list(client.list_model_versions(name=name, timeout=SECONDS))
    except api.NotFound:
        return []
    return sorted(found, key=lambda version: int(version.version_id))


def champion_of(versions: list[Any]) -> Any | None:
    return next((version for version in versions if CHAMPION in version.version_aliases), None)


def numbered(versions: list[Any], number: str) -> Any | None:
    return next((version for version in versions if version.version_id == number), None)


def versioned(version: Any) -> str:
    """MODEL@NUMBER: the name of a version itself, not of whatever is the default."""
    return f"{version.name.partition('@')[0]}@{version.version_id}"


def objection(known: list[Any], version: Any) -> str:
    """Why a version must not become champion, as a sentence; "" where nothing speaks against it.

    It, or another version of the same model, was rolled back, or it was champion and another one has followed.
    """
    champion = champion_of(known)
    number, now = version.version_id, champion.version_id if champion else NONE
    if now == number:
        return ""
    model = version.labels.get(MODEL_VERSION, number)
    same = [
        each.version_id
        for each in known
        if each.labels.get(ROLLED_BACK) and model in (each.labels.get(MODEL_VERSION), each.version_id)
    ]
    if same:
        return (
            f"version {same[-1]} was rolled back: version {now} stays champion. "
            f"python -m components.exporter.vertex rollback --to {number} makes version {number} champion"
        )
    before = version.labels.get(BEFORE)
    if before is not None and before != now:
        return f"version {number} was champion after version {before}; version {now}, which followed, stays champion"
    return ""


def promote(client: Any, name: str, number: str) -> str:
    """Makes a version the champion, unless something speaks against it.

    The label that leads back is written before the alias moves: whenever this is interrupted, the old champion is still
    champion or the way back is known.

    Args:
        client: ModelServiceClient.
        name: The model's.
        number: The version's.

    Returns:
        What became of it, as a sentence.

    Raises:
        InputError: the service keeps the alias elsewhere.
    """
    known = of(client, name)
    version, champion = expected(known, name, number), champion_of(known)
    if champion and champion.version_id == number:
        return f"version {number} is champion already"
    if said := objection(known, version):
        return said
    if BEFORE not in version.labels:
        relabel(client, version, {BEFORE: champion.version_id if champion else NONE})
    crown(client, name, number)
    return f"version {number} is champion" + (
        f" in place of version {champion.version_id}" if champion else ", the first one"
    )


def crown(client: Any, name: str, number: str) -> None:
    """Moves the aliases to a version, and makes sure that it alone has them.

    Raises:
        InputError: it does not.
    """
    request = {"name": f"{name}@{number}", "version_aliases": [CHAMPION, DEFAULT]}
    calls.again(lambda: client.merge_version_aliases(**request, timeout=SECONDS), "moving the alias champion")
    holders = [version.version_id for version in of(client, name) if CHAMPION in version.version_aliases]
    if holders != [number]:
        found = f"with version {', '.join(holders) or 'none'}"
        raise InputError(f"{name}, alias {CHAMPION}", found, f"with version {number}", "Run this again.")


def relabel(client: Any, version: Any, changes: dict[str, str | None]) -> None:
    """Changes labels of a version; None takes one away."""
    from google.cloud.aiplatform_v1 import Model

    labels = {key: value for key, value in {**version.labels, **changes}.items() if value is not None}
    changed = Model(name=versioned(version), labels=labels)
    calls.again(
        lambda: client.update_model(model=changed, update_mask={"paths": ["labels"]}, timeout=SECONDS),
        f"labelling version {version.version_id}",
    )


def expected(versions: list[Any], name: str, number: str) -> Any:
    version = numbered(versions, number)
    if version is None:
        known = ", ".join(each.version_id for each in versions) or "none"
        raise InputError(f"{name}, version {number}", f"versions {known}", "that version", "Name another one.")
    return version
