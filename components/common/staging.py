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
        fs, inner = fsspec.core.url_to_fs(path.rstrip("/"))
        target = storage.join(folder, os.path.basename(inner))
        with explained(path):
            # One by one: fsspec would take what is in brackets in a name for a pattern.
            if storage.exists(path):
                copies = {file: target + file.removeprefix(inner) for file in fs.find(inner)}
            else:
                files = (fs._strip_protocol(file) for file in storage.list_files(path))
                copies = {file: storage.join(folder, os.path.basename(file)) for file in files}
        if not copies:
            remedy = "Check the path and your permissions."
            raise InputError(path, "nothing there", "a file, folder or glob", remedy)
        with explained(path), progress.shown(f"Copying {path}", unit="files"):
            fs.get(list(copies), list(copies.values()), callback=_Files())
        yield target


class _Files(fsspec.Callback):
    """Reports files as they arrive."""

    def relative_update(self, inc: int = 1) -> None:
        progress.advance(inc)
