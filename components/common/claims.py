"""An output has one writer: it is claimed before the work begins, and whoever comes second is told then, not later."""

import contextlib
import fcntl
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from components.common import disk, storage
from components.common.errors import InputError
from components.common.reach import explained, placed

Given = ParamSpec("Given")
Result = TypeVar("Result")


def claiming(
    function: Callable[Given, Result], claim: Callable[[str], contextlib.AbstractContextManager[None]] | None = None
) -> Callable[Given, Result]:
    """A function of keywords that runs while the output which its `output_path` names is `claimed`."""
    claim = claim or claimed

    @functools.wraps(function)
    def with_claim(*args: Given.args, **given: Given.kwargs) -> Result:
        with claim(str(given["output_path"])):
            return function(*args, **given)

    return with_claim


def claiming_file(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """The same for an output that is a file."""
    return claiming(function, functools.partial(claimed, is_folder=False))


@contextlib.contextmanager
def claimed(path: str, is_folder: bool = True, may_be_there: bool = False) -> Iterator[None]:
    """Keeps others from writing an output as long as the block runs, and says in words what a disk refuses in it.

    A local output is claimed by a lock on a hidden file beside it, which the kernel lets go when the process ends. In
    a bucket there are no locks: there a folder is marked, and another run's mark is only spoken of, because nobody can
    tell whether that run is alive; of two, the one that began to write later is kept whole (see `storage.in_place`).

    Args:
        path: Where the output goes, local or gs://.
        is_folder: It is a folder that nothing is in yet, not a file.
        may_be_there: An earlier output at the path is no hindrance.

    Raises:
        InputError: it is there already, another process is writing it, it cannot be written, or there is no room.
    """
    refuse_overwrite = (lambda _: None) if may_be_there else storage.refuse_overwrite
    disk.expect_temporary_folder()
    refuse_overwrite(path)
    with explained_disk(path):
        if storage.is_remote(path):
            with storage.marked(path) if is_folder else contextlib.nullcontext(True) as is_first:
                if not is_first:
                    print(f"warning: {path}: another run is writing it, or was ended while it did", file=sys.stderr)
                yield
            return
        with held(path):
            refuse_overwrite(path)  # another one may have been ready in between
            yield


@contextlib.contextmanager
def explained_disk(path: str) -> Iterator[None]:
    """Raises InputError where a disk is full or may not be written, whatever library met it, and names the place."""
    try:
        yield
    except Exception as error:
        found = disk.fault(error, path)
        if found is None:
            raise
        raise found from error


@contextlib.contextmanager
def held(path: str) -> Iterator[None]:
    """Holds the lock of a local path.

    Raises:
        InputError: another process holds it.
    """
    with explained(path), placed(path), contextlib.ExitStack() as stack:
        path = os.path.realpath(path)
        parent, name = os.path.split(path)
        file = os.path.join(parent, f".{name}.lock")
        for folder in _missing(parent):
            os.makedirs(folder, exist_ok=True)
            stack.callback(_remove_if_empty, folder)
        lock = _locked(file)
        if lock is None:
            expected, remedy = "one process for one output", "Wait until it has ended, or choose another path."
            raise InputError(path, "another process that is writing it", expected, remedy)
        stack.callback(os.close, lock)
        stack.callback(_remove, file)
        made = stack.pop_all()
    with made:
        yield


def _locked(file: str) -> int | None:
    """The descriptor of the file, locked; None where another process has it. Where there are no locks, nobody has."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # a file system without them
            return descriptor
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor
        os.close(descriptor)  # whoever held it has removed the file in the meantime


def _missing(folder: str) -> list[str]:
    """The folders on the way to one that are not there, the outermost first."""
    missing = []
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing[::-1]


def _remove(file: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(file)


def _remove_if_empty(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(folder)
