"""Remote inputs as local files, for readers that can't read a bucket themselves or would starve on it."""

import contextlib
import os
import tempfile
from collections.abc import Iterator

import fsspec

from components.common import progress, storage
from components.common.errors import InputError
from components.common.reach import explained


@contextlib.contextmanager
def staged(path: str) -> Iterator[str]:
    """Yields `path` as a local path: itself when it is local, else a copy that lives as long as the block.

    Raises:
        InputError: there is nothing, or it is out of reach.
    """
    if not storage.is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        fs, inner = fsspec.core.url_to_fs(path)
        name = os.path.basename(inner.rstrip("/"))
        is_glob = "*" in inner
        matches = storage.list_files(path) if is_glob else []
        if not (matches or (not is_glob and storage.exists(path))):
            remedy = "Check the path and your permissions."
            raise InputError(path, "nothing there", "a file, folder or glob", remedy)
        target = folder if is_glob else storage.join(folder, name)
        with explained(path), progress.shown(f"Copying {path}", unit="files"):
            fs.get(matches or inner, target, recursive=not is_glob, callback=_Files())
        yield storage.join(folder, name)


class _Files(fsspec.Callback):
    """Reports files as they arrive."""

    def relative_update(self, inc: int = 1) -> None:
        progress.advance(inc)
