"""Remote inputs as local files, for readers that can't read a bucket themselves or would starve on it."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence

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


@contextlib.contextmanager
def copies(paths: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yields local paths of files by their own: themselves where they are local, else copies, as long as the block.

    Raises:
        InputError: one is out of reach, or has gone.
    """
    remote = [path for path in paths if storage.is_remote(path)]
    if not remote:
        yield {path: path for path in paths}
        return
    with tempfile.TemporaryDirectory() as folder:
        local = {path: storage.join(folder, path.partition("://")[2]) for path in remote}
        with progress.shown("Copying shards", len(remote), unit="files"):
            fs = fsspec.core.url_to_fs(remote[0])[0]
            try:
                with explained(remote[0]):
                    fs.get([fs._strip_protocol(path) for path in remote], list(local.values()), callback=_Files())
            except FileNotFoundError as error:
                found, remedy = f"no such file any more ({error})", "Run again when nobody changes the folder."
                raise InputError(os.path.dirname(remote[0]), found, "what was there a moment ago", remedy) from None
        yield {path: local.get(path, path) for path in paths}


class _Files(fsspec.Callback):
    """Reports files as they arrive."""

    def relative_update(self, inc: int = 1) -> None:
        progress.advance(inc)
