"""Paths that are out of reach, said so that the reader can do something about it."""

import contextlib
import errno
from collections.abc import Iterator

from components.common.errors import InputError

BLOCKED = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
NO_NAMES = (errno.ELOOP, errno.ENAMETOOLONG)  # links in a circle; more than a file system takes
NULL_BYTE = "embedded null "  # in a name that no file has; Python goes on with byte, or with character


@contextlib.contextmanager
def placed(path: str) -> Iterator[None]:
    """Says in an InputError that the place where something is to be written is not there."""
    try:
        yield
    except FileNotFoundError:
        remedy = "Create it, or correct the path."
        raise InputError(path, "no such bucket or folder", "a place that exists", remedy) from None


@contextlib.contextmanager
def there(path: str, expected: str, remedy: str) -> Iterator[None]:
    """As `explained`, where the path was listed or named, so that its absence is an error too: a link to nowhere."""
    try:
        with explained(path):
            yield
    except FileNotFoundError:
        raise InputError(path, "no such file", expected, remedy) from None


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Says in an InputError that a path is out of reach; whether its absence is an error is for the caller to say."""
    try:
        yield
    except (FileNotFoundError, InputError):
        raise
    except Exception as error:
        # gcsfs raises an OSError or a ValueError with nothing but a text, an error with a code, or google.auth's.
        denied = str(error).startswith(("Forbidden", "Bad Request")) or getattr(error, "code", None) in (401, 403)
        denied = denied or type(error).__module__.startswith("google.auth")
        denied = denied or getattr(error, "errno", None) in NO_NAMES or NULL_BYTE in str(error)
        if not denied and not isinstance(error, BLOCKED):
            raise
        found = getattr(error, "strerror", None) or " ".join(str(error).split())
        remedy = "Check the path, the account that runs this, and its permissions."
        raise InputError(path, found, "a path that may be read or written", remedy) from None
