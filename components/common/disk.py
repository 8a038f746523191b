"""Disks that are full, broken or read-only, and folders for temporary files that are not there: said by their place."""

import errno
import os
import tempfile
from collections.abc import Iterator

from components.common.errors import InputError

# What the system says, however many libraries have wrapped it; the texts are those of os.strerror.
FAULTS = {
    number: os.strerror(number)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.ENAMETOOLONG, errno.EMFILE)
}
NO_TEMPORARY = "No usable temporary directory"
TMPDIR = "TMPDIR"
LITTLE = 16 << 20  # bytes: a disk with less is taken for the full one, where nobody says which it is
TRIED = 1 << 16  # bytes that are written to see whether there is room


def fault(error: BaseException, output: str) -> InputError | None:
    """What a failure says of a disk, in words; None where it is no matter of one.

    Args:
        error: With all that it was raised from.
        output: Where the output goes, local or gs://; "" where nobody knows.
    """
    for one in _chain(error):
        text = str(one)
        if NO_TEMPORARY in text:
            return _of_temporary(_temporary(), NO_TEMPORARY)
        if isinstance(one, OSError) and one.errno in FAULTS:
            return _in_words(one.filename if isinstance(one.filename, str) else "", output, FAULTS[one.errno])
        for said in FAULTS.values():
            if said in text and not isinstance(one, InputError):
                return _in_words("", output, said)
    return None


def expect_temporary_folder() -> None:
    """Raises InputError where temporary files cannot be written."""
    folder = os.environ.get(TMPDIR, "")
    try:
        folder = folder or tempfile.gettempdir()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * TRIED)
            file.flush()
    except OSError as error:
        raise _of_temporary(folder or _temporary(), str(error.strerror or error)) from None


def _in_words(place: str, output: str, found: str) -> InputError:
    """Args: the file where it happened, or "" where nobody said; the output; what the system said."""
    local = "" if "://" in output else output
    beside = os.path.dirname(os.path.abspath(local)) if local else ""
    place = place or next((one for one in (local, _temporary()) if one and _room(one) < LITTLE), local or _temporary())
    if _is_in(place, _temporary()) and not (beside and _is_in(place, beside)):
        return _of_temporary(place, found)
    if found == FAULTS[errno.ENAMETOOLONG]:
        return InputError(place, found, "a name that the file system takes", "Choose a shorter path.")
    return InputError(place, found, "a disk with room that may be written", "Free the disk, or choose another path.")


def _of_temporary(place: str, found: str) -> InputError:
    remedy = f"Free or create it, or set {TMPDIR} to a folder with more room."
    return InputError(f"{place} ({TMPDIR})", found, "room for temporary files", remedy)


def _temporary() -> str:
    return os.environ.get(TMPDIR) or tempfile.tempdir or "/tmp"  # noqa: S108


def _is_in(path: str, folder: str) -> bool:
    return f"{os.path.abspath(path)}/".startswith(f"{os.path.abspath(folder).rstrip('/')}/")


def _room(path: str) -> int:
    folder = os.path.abspath(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and what was being handled then."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]
