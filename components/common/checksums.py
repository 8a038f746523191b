"""Files of an artifact by their checksums: what was written together is noticed when it no longer belongs together."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from components.common import shapes, storage
from components.common.errors import InputError

FILES = shapes.Object(others=shapes.Object({"sha256": shapes.Text()}, {"bytes": shapes.Number(0, whole=True)}))


def of(folder: str, without: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file in a local folder, by its path there.

    Args:
        folder: Local.
        without: Folders in it whose files are left out.
    """
    left_out = set(without)
    files = {}
    for root, folders, names in os.walk(folder):
        if root == folder:
            folders[:] = [name for name in folders if name not in left_out]
        for path in (os.path.join(root, name) for name in names):
            files[os.path.relpath(path, folder)] = {"bytes": os.path.getsize(path), "sha256": _digest(path)}
    return dict(sorted(files.items()))


def expect(folder: str, files: Mapping[str, Mapping[str, Any]], document: str, remedy: str) -> None:
    """Raises InputError at a file that is not there, or not the one that was written.

    Args:
        folder: Local.
        files: By path, as `of` gives them.
        document: What says so, for the error.
        remedy: What to do about it.
    """
    for name, facts in files.items():
        path = storage.join(folder, name)
        expected = f"the file that {document} names, with SHA-256 {facts['sha256'][:12]}…"
        if not os.path.isfile(path):
            raise InputError(path, "no such file", expected, remedy)
        found = os.path.getsize(path)
        if found != facts.get("bytes", found):
            raise InputError(path, f"{found:,} bytes", f"{expected} and {facts['bytes']:,} bytes", remedy)
        digest = _digest(path)
        if digest != facts["sha256"]:
            raise InputError(path, f"other content, with SHA-256 {digest[:12]}…", expected, remedy)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
