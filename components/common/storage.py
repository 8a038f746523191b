"""Local and gs:// paths in one way, through fsspec; artifacts appear whole or not at all."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import fsspec

from components.common.errors import InputError

UNFINISHED = "_unfinished"  # in a remote folder that a run is writing


def is_remote(path: str) -> bool:
    return "://" in path


def join(*parts: str) -> str:
    return "/".join([parts[0].rstrip("/"), *parts[1:]])


def exists(path: str) -> bool:
    fs, inner = fsspec.core.url_to_fs(path)
    return bool(fs.exists(inner))


def list_files(pattern: str) -> list[str]:
    """Paths that match a glob, sorted, in the form they were asked for (local or gs://)."""
    fs, inner = fsspec.core.url_to_fs(pattern)
    return sorted(fs.unstrip_protocol(p) if is_remote(pattern) else p for p in fs.glob(inner))


def read_text(path: str, what: str) -> str:
    """The text of a file; `what` names it in the error when it is not there or not UTF-8."""
    try:
        with fsspec.open(path, "rt", encoding="utf-8") as file:
            return str(file.read())
    except FileNotFoundError:
        raise InputError(path, "no such file", what, "Check the path, or run the component that writes it.") from None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InputError(path, error.strerror or "no access", what, "Check the path and its permissions.") from None
    except UnicodeDecodeError as error:
        raise InputError(path, f"bytes that are not UTF-8 ({error})", what, "Write the file again as UTF-8.") from None


def read_json(path: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(read_text(path, what))
    except json.JSONDecodeError as error:
        raise InputError(path, f"invalid JSON ({error})", what, "Write the file again; it may be cut off.") from None
    if not isinstance(value, dict):
        raise InputError(path, f"a JSON {type(value).__name__}", f"{what}, a JSON object", "Write the file again.")
    return value


def write_json(path: str, value: dict[str, Any]) -> None:
    """Writes deterministic, human-readable JSON, names in their own script."""
    with fsspec.open(path, "wt", encoding="utf-8") as file:
        file.write(to_json(value))


def to_json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


@contextlib.contextmanager
def publish(path: str, marker: str) -> Iterator[str]:
    """Yields a local folder to write an artifact into, and moves it to `path` when the block succeeds.

    A local artifact appears by one rename. A remote one is uploaded with `marker` last: readers ask for
    the marker, so what a killed upload left behind is never taken for whole, and a rerun replaces it.

    Args:
        path: Where the artifact goes, local or gs://.
        marker: The file that every reader of this artifact opens first, relative to the folder.

    Raises:
        InputError: `path` already holds an artifact, or something else that would be overwritten.
    """
    refuse_overwrite(path)
    if is_remote(path):
        with tempfile.TemporaryDirectory() as work:
            yield work
            _upload(work, path, marker)
        return
    parent, name = os.path.split(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    work = tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=parent)
    os.chmod(work, 0o755)
    try:
        yield work
        if os.path.isdir(path):
            os.rmdir(path)  # refuse_overwrite made sure that it is empty
        os.rename(work, path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


@contextlib.contextmanager
def in_place(path: str) -> Iterator[str]:
    """Yields a remote folder itself, emptied before, and emptied again when the block fails.

    For writers that are many machines. The marker must be what is written last.
    """
    _begin(path)
    try:
        yield path
        remove(join(path, UNFINISHED))
    except BaseException:
        remove(path)
        raise


def remove(path: str) -> None:
    """Removes a file or folder, if there is one."""
    fs, inner = fsspec.core.url_to_fs(path)
    if fs.exists(inner):
        fs.rm(inner, recursive=True)


def publish_file(path: str, text: str) -> None:
    """Writes one file, whole or not at all.

    Raises:
        InputError: the file is already there.
    """
    if exists(path):
        raise InputError(path, "the output of another run", "a path that is free", "Choose another path or delete it.")
    if is_remote(path):
        with fsspec.open(path, "wt", encoding="utf-8") as file:  # an object appears when its upload is complete
            file.write(text)
        return
    parent, name = os.path.split(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    work = os.path.join(parent, f".{name}.{os.getpid()}.partial")
    try:
        with open(work, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(work, path)
    except BaseException:
        remove(work)
        raise


def refuse_overwrite(path: str) -> None:
    """Raises InputError where writing to `path` would replace or mix with what is there."""
    if is_remote(path):
        taken = exists(path) and not exists(join(path, UNFINISHED))
    else:
        taken = os.path.isfile(path) or (os.path.isdir(path) and bool(os.listdir(path)))
    if taken:
        raise InputError(path, "the output of another run", "a path that is free", "Choose another path or delete it.")


def _upload(folder: str, path: str, marker: str) -> None:
    _begin(path)
    fs, inner = fsspec.core.url_to_fs(path)
    files = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]
    relative = sorted((os.path.relpath(file, folder) for file in files), key=lambda name: (name == marker, name))
    for name in relative:
        fs.put_file(os.path.join(folder, name), join(inner, name))
    remove(join(path, UNFINISHED))


def _begin(path: str) -> None:
    """Clears what a killed run left in a remote folder, and says that the folder is being written."""
    remove(path)
    with fsspec.open(join(path, UNFINISHED), "wt", encoding="utf-8") as file:
        file.write("A run is writing this folder, or was killed while it did.\n")


@contextlib.contextmanager
def staged(path: str) -> Iterator[str]:
    """Yields `path` as a local path: itself when it is local, else a copy that lives as long as the block."""
    if not is_remote(path):
        yield path
        return
    fs, inner = fsspec.core.url_to_fs(path)
    pattern = inner.rpartition("/")[2] if "*" in inner else ""
    if not (fs.glob(inner) if pattern else fs.exists(inner)):
        raise InputError(path, "nothing there", "a file, folder or glob", "Check the path and your permissions.")
    with tempfile.TemporaryDirectory() as folder:
        if pattern:
            fs.get(fs.glob(inner), folder)
            yield os.path.join(folder, pattern)
            return
        local = os.path.join(folder, os.path.basename(inner.rstrip("/")))
        fs.get(inner, local, recursive=True)
        yield local
