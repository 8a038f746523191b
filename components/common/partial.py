"""Folders in which local artifacts are written before they are whole; what killed runs left of them goes."""

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def folder(path: str) -> Iterator[str]:
    """Yields a hidden folder beside `path`, removed at the end, and removes those of runs that were killed.

    The run's lock on its folder, which the kernel takes away when the process ends, tells the living from the dead.
    """
    parent, name = os.path.split(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    for left in glob.glob(f".{glob.escape(name)}.????????.partial", root_dir=parent):
        _remove_dead(os.path.join(parent, left))
    unlocked = tempfile.mkdtemp(prefix=f".{name}.", dir=parent)
    lock = _lock(unlocked)
    work = f"{unlocked}.partial"
    os.rename(unlocked, work)  # other runs see it only now that it is locked
    os.chmod(work, 0o755)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_dead(left: str) -> None:
    with contextlib.suppress(OSError):  # another run removed it, or it belongs to somebody else
        lock = _lock(left)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def _lock(path: str) -> int | None:
    """Locks a folder; None when another process has it, or when the file system knows no locks."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
