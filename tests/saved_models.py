"""SavedModels for tests that load the same few again and again."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import tensorflow as tf

KEPT = 16
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")


@contextlib.contextmanager
def loaded_once() -> Iterator[None]:
    """A SavedModel is loaded once, wherever its copies lie, unless the name of its folder is an unusual one.

    TensorFlow also keeps the functions that it has prepared for their first call.
    """
    load = tf.saved_model.load
    loaded: dict[bytes, Any] = {}

    def once(folder: str) -> Any:
        if not PLAIN.issuperset(folder):
            return load(folder)
        content = digest(Path(folder))
        loaded[content] = loaded.pop(content, None) or load(folder)
        if len(loaded) > KEPT:
            del loaded[next(iter(loaded))]  # the one that was asked for longest ago
        return loaded[content]

    with mock.patch.object(tf.saved_model, "load", once):
        yield


def digest(folder: Path) -> bytes:
    """Of names and contents of all files in a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return found.digest()
