"""Several finished artifacts of one path, such as a weekly job's models: each later one has a folder of its own.

The first is at the path itself, as if it were the only one. A later one is in a folder of it that is named by the time,
and the file `latest` there names the newest: a file, not a link, because buckets have no links. What was finished is
never touched.
"""

import contextlib
import datetime as dt
import re
import secrets
from collections.abc import Iterator

from components.common import storage
from components.common.errors import InputError

LATEST = "latest"
NAME = re.compile(r"[\w-][\w.-]*|\.")  # a folder beside the file, or the first artifact, around it


def is_finished(path: str, marker: str) -> bool:
    """Whether a path holds a finished artifact, whose readers open `marker` first, or several."""
    return any(storage.exists(storage.join(path, name)) for name in (marker, LATEST))


def refuse_overwrite(path: str, marker: str, again: bool) -> None:
    """As storage.refuse_overwrite; with `again`, what `published` would put beside the new artifact may be there."""
    if not (again and is_finished(path, marker)):
        storage.refuse_overwrite(path)


@contextlib.contextmanager
def published(path: str, marker: str, again: bool) -> Iterator[str]:
    """As storage.publish; with `again`, a finished artifact at `path` is no hindrance.

    The new one then goes into a new folder of `path`, and when it is whole `latest` names it. Which of the two it is
    shows only now: another run may have finished in the meantime.

    Args:
        path, marker: See storage.publish.
        again: Whether `path` is for more than one run.
    """
    if not (again and is_finished(path, marker)):
        with storage.publish(path, marker) as work:
            yield work
        return
    name = f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"  # two jobs may end in one second
    with storage.publish(storage.join(path, name), marker) as work:
        yield work
    storage.replace_file(storage.join(path, LATEST), f"{name}\n")
    print(f"written to {storage.join(path, name)}, which {storage.join(path, LATEST)} names now", flush=True)


def resolved(path: str) -> str:
    """The folder of the newest artifact at a path: the one that `latest` names, or without such a file the path itself.

    Raises:
        InputError: `latest` names nothing that is there.
    """
    file = storage.join(path, LATEST)
    if not storage.exists(file):
        return path
    name = storage.read_text(file, "the name of a folder").strip()
    folder = path if name == "." else storage.join(path, name)
    if not NAME.fullmatch(name) or not storage.exists(folder):
        expected = "the name of a folder beside it, or . for the artifact around it"
        raise InputError(file, repr(name), expected, "Write such a name there, or name the folder itself.")
    return folder
