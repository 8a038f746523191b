"""Local and gs:// paths in one way, through fsspec; artifacts appear whole or not at all."""

import contextlib
import glob
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

import fsspec

from components.common import partial, strict_json
from components.common.errors import InputError
from components.common.reach import explained, placed

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
UNFINISHED = "_unfinished"  # the mark on a remote folder that a run is writing, or was when it ended


def is_remote(path: str) -> bool:
    """Whether a path is an address such as gs://…; every other one is a name here, whatever signs are in it.

    Raises:
        InputError: an address that does not say where something is, or a name that Arrow and JSON cannot carry.
    """
    if (said := path.encode(errors="backslashreplace").decode()) != path:
        raise InputError(said, "bytes that are not UTF-8", "a name in UTF-8", "Rename it.")
    if not ADDRESS.match(path):
        return False
    if path.startswith("file:"):
        raise InputError(path, "an address with file://", "a path, or gs://…", f"Write {path.removeprefix('file://')}.")
    if "::" in path:
        raise InputError(path, "an address with ::", "one without, which fsspec takes for a chain", "Rename it.")
    protocol = path.partition("://")[0]
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:  # not installed; not known
        found = f"the protocol {protocol} ({' '.join(str(error).split())})"
        raise InputError(path, found, "a path, or gs://…", "Correct the path.") from None
    return True


def join(*parts: str) -> str:
    return "/".join([parts[0].rstrip("/"), *parts[1:]])


def exists(path: str) -> bool:
    if not is_remote(path):
        return os.path.exists(path)
    with explained(path):
        fs, inner = fsspec.core.url_to_fs(path)
        return bool(fs.exists(inner))


def is_folder(path: str) -> bool:
    if not is_remote(path):
        return os.path.isdir(path)
    with explained(path):
        fs, inner = fsspec.core.url_to_fs(path)
        return bool(fs.isdir(inner))


def list_files(pattern: str) -> list[str]:
    """Paths that match a glob, sorted, in the form they were asked for (local or gs://).

    What is there under a name is meant by it: in my[1]/*.parquet the brackets are no glob where a folder is called so.
    A last part with * or ? stays a glob, which matches a file of that very name too.
    """
    if not pattern:
        return []
    if not is_remote(pattern):
        pattern = os.path.abspath(os.path.expanduser(pattern))
    named, rest = _named(pattern)
    return list_folder(named, rest) if rest else [named] if exists(named) else []


def list_folder(folder: str, pattern: str) -> list[str]:
    """Paths in a folder, whose own name is no pattern, that match a glob relative to it, sorted."""
    with explained(join(folder, pattern)):
        if not is_remote(folder):
            found = glob.glob(pattern, root_dir=folder, recursive=True, include_hidden=True)
            return sorted(join(folder, path) for path in found)
        fs, inner = fsspec.core.url_to_fs(folder)
        return sorted(fs.unstrip_protocol(path) for path in _glob(fs, join(glob.escape(inner), pattern)))


@contextlib.contextmanager
def plain(folder: str) -> Iterator[str]:
    """Yields a local folder under a name without patterns: TensorFlow looks for a SavedModel's variables by a glob."""
    if not set(folder) & set("*?[\\"):
        yield folder
        return
    with tempfile.TemporaryDirectory() as beside:
        link = join(beside, "folder")
        os.symlink(os.path.abspath(folder), link)
        yield link


def read_text(path: str, what: str, remedy: str = "Check the path.") -> str:
    """The text of a file; `what` names it in the error when it is not there (see `remedy`) or not UTF-8."""
    try:
        with explained(path), opened(path, "rt", encoding="utf-8") as file:
            return str(file.read())
    except FileNotFoundError:
        raise InputError(path or "an empty path", "no such file", what, remedy) from None
    except UnicodeDecodeError as error:
        raise InputError(path, f"bytes that are not UTF-8 ({error})", what, "Write the file again as UTF-8.") from None


def read_json(path: str, what: str) -> dict[str, Any]:
    """The object in a JSON file that a component writes; see `read_text`."""
    try:
        value = strict_json.parse(read_text(path, what, "Check the path, or run the component that writes it."))
    except strict_json.DocumentError as error:
        raise InputError(path, str(error), what, "Write the file again; it may be cut off.") from None
    if not isinstance(value, dict):
        raise InputError(path, f"a JSON {type(value).__name__}", f"{what}, a JSON object", "Write the file again.")
    return value


def write_text(path: str, text: str) -> None:
    """Writes a file of UTF-8; `publish_file` is for a file that is an artifact by itself."""
    with explained(path), placed(path), opened(path, "wt", encoding="utf-8") as file:
        file.write(text)


def opened(path: str, mode: str, encoding: str | None = None) -> Any:
    """An open file, as `open` gives it: a local name may hold what fsspec takes for a pattern or for a chain."""
    return fsspec.open(path, mode, encoding=encoding) if is_remote(path) else open(path, mode, encoding=encoding)


def write_json(path: str, value: dict[str, Any]) -> None:
    """Writes deterministic, human-readable JSON, names in their own script."""
    write_text(path, to_json(value))


def to_json(value: dict[str, Any]) -> str:
    """JSON in which an object of objects or lists takes a line an entry, and everything else one line."""
    return f"{_spread(value, '')}\n"


def _spread(value: Any, indent: str) -> str:
    if not isinstance(value, dict) or not any(isinstance(part, dict | list) for part in value.values()):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    lines = [
        f"{indent} {json.dumps(str(key), ensure_ascii=False)}: {_spread(part, indent + ' ')}"
        for key, part in value.items()
    ]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


@contextlib.contextmanager
def publish(path: str, marker: str) -> Iterator[str]:
    """Yields a local folder to write an artifact into, and moves it to `path` when the block succeeds.

    A local artifact appears by one rename. A remote one is uploaded with `marker` last: readers ask for
    the marker, so what a killed upload left behind is never taken for whole, and a rerun replaces it.

    Args:
        path: Where the artifact goes, local or gs://.
        marker: The file that every reader of this artifact opens first, relative to the folder.

    Raises:
        InputError: `path` already holds an artifact, or something else that would be overwritten, or is out of reach.
    """
    refuse_overwrite(path)
    if is_remote(path):
        with tempfile.TemporaryDirectory() as work:
            yield work
            with in_place(path):
                _upload(work, path, marker)
        return
    path = os.path.realpath(path)  # a link leads to the place that is meant
    with _beside(path) as work:
        yield work
        if os.path.isdir(path):
            os.rmdir(path)  # refuse_overwrite made sure that it is empty
        os.rename(work, path)


@contextlib.contextmanager
def in_place(path: str) -> Iterator[str]:
    """Yields a remote folder itself, for writers that are many machines; they write what readers ask for last.

    The mark is put there first and taken away last, so all that an unfinished run leaves is in a marked folder, which
    the next run empties. A failed block empties the folder as well but leaves the mark: its workers may still write.

    Raises:
        InputError: the folder holds something that no unfinished run left, another run began to write it in the
            meantime, or it is out of reach.
    """
    refuse_overwrite(path)
    mark = _put_mark(path)
    _clear(path)
    try:
        yield path
        _expect_mark(path, mark)
        remove(join(path, UNFINISHED))
    except BaseException:
        with contextlib.suppress(Exception):  # the block's error says more
            if _is_marked(path, mark):
                _clear(path)
        raise


@contextlib.contextmanager
def marked(path: str) -> Iterator[bool]:
    """Marks a remote folder that is going to be written, where no other run has; yields whether none has."""
    is_first = not exists(join(path, UNFINISHED))
    mark = _put_mark(path) if is_first else ""
    try:
        yield is_first
    finally:
        if is_first and _is_marked(path, mark):
            remove(join(path, UNFINISHED))


def _put_mark(path: str) -> str:
    mark = f"Run {uuid.uuid4().hex} is writing this folder, or was ended while it did.\n"
    write_text(join(path, UNFINISHED), mark)
    return mark


def remove(path: str) -> None:
    """Removes a file or folder, if there is one."""
    with explained(path), contextlib.suppress(FileNotFoundError):
        if not is_remote(path):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.remove(path)
            return
        fs, inner = fsspec.core.url_to_fs(path)
        if glob.has_magic(inner):
            _remove_files(fs, fs.find(inner))
        else:
            fs.rm(inner, recursive=True)


def publish_file(path: str, text: str) -> None:
    """Writes one file, whole or not at all.

    Raises:
        InputError: the file is already there, or out of reach.
    """
    if exists(path):
        raise InputError(path, "the output of another run", "a path that is free", "Choose another path or delete it.")
    if is_remote(path):
        write_text(path, text)  # an object appears when its upload is complete
        return
    path = os.path.realpath(path)
    with _beside(path) as work:
        file = join(work, os.path.basename(path))
        write_text(file, text)
        os.rename(file, path)


def replace_file(path: str, text: str) -> None:
    """Writes one file in the place of an earlier one, if there is one: readers see either of them whole."""
    if is_remote(path):
        write_text(path, text)  # an object appears when its upload is complete
        return
    with _beside(path) as work:
        file = join(work, os.path.basename(path))
        write_text(file, text)
        os.replace(file, path)


def refuse_overwrite(path: str) -> None:
    """Raises InputError where writing to `path` would replace or mix with what is there, or `path` is no path."""
    if not path:
        raise InputError("the path of the output", "nothing", "where to write", "Name a path.")
    if is_remote(path):
        files = _find(path)
        taken = bool(files) and UNFINISHED not in files
    else:
        if path.startswith("~") and not os.path.exists(path):
            raise InputError(path, "a path with ~", "one without: a shell replaces it, we do not", "Write it out.")
        with explained(path):
            taken = os.path.isfile(path) or (os.path.isdir(path) and bool(os.listdir(path)))
    if taken:
        raise InputError(path, "the output of another run", "a path that is free", "Choose another path or delete it.")


@contextlib.contextmanager
def _beside(path: str) -> Iterator[str]:
    """Yields a folder beside a local path (see `partial`)."""
    with contextlib.ExitStack() as stack:
        with explained(path):
            work = stack.enter_context(partial.folder(path))
        yield work


def _named(pattern: str) -> tuple[str, str]:
    """The beginning of a glob up to the first part that is a pattern and not the name of something; and the rest."""
    parts = pattern.split("/")
    for length, part in enumerate(parts):
        is_glob = length == len(parts) - 1 and set(part) & set("*?")
        if glob.has_magic(part) and (is_glob or not exists("/".join(parts[: length + 1]))):
            return "/".join(parts[:length]), "/".join(parts[length:])
    return pattern, ""


def _glob(fs: fsspec.AbstractFileSystem, pattern: str) -> list[str]:
    try:
        return list(fs.glob(pattern))
    except FileNotFoundError:  # no such bucket
        return []


def _find(path: str) -> list[str]:
    """All files in a remote folder, relative to it; a path that is a file itself is "" in it.

    fsspec keeps what `ls` lists, and would not see what Beam's workers write past it; `find` asks every time.
    """
    with explained(path), placed(path):
        fs, inner = fsspec.core.url_to_fs(path)
        return [file.removeprefix(inner).lstrip("/") for file in fs.find(inner)]


def _upload(folder: str, path: str, marker: str) -> None:
    files = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]
    relative = sorted((os.path.relpath(file, folder) for file in files), key=lambda name: (name == marker, name))
    fs, inner = fsspec.core.url_to_fs(path)
    with explained(path):
        for name in relative:
            fs.put_file(os.path.join(folder, name), join(inner, name))


def _expect_mark(path: str, mark: str) -> None:
    if not _is_marked(path, mark):
        found, remedy = "files of a run that began later", "Run again, one run at a time for one path."
        raise InputError(path, found, "those of this run alone", remedy)


def _is_marked(path: str, mark: str) -> bool:
    fs, inner = fsspec.core.url_to_fs(join(path, UNFINISHED))
    with contextlib.suppress(FileNotFoundError):
        return bool(fs.cat_file(inner) == mark.encode())
    return False


def _clear(path: str) -> None:
    """Empties a remote folder but for the mark: its own files first, because one of them is what readers ask for."""
    files = sorted(name for name in _find(path) if name != UNFINISHED)
    fs, inner = fsspec.core.url_to_fs(path)
    with explained(path):
        for deep in (False, True):
            group = [join(inner, name) for name in files if ("/" in name) is deep]
            if group:
                _remove_files(fs, group)


def _remove_files(fs: fsspec.AbstractFileSystem, files: list[str]) -> None:
    """Removes files by their names, in which fsspec looks for patterns."""
    fs.rm([glob.escape(file) for file in files])
