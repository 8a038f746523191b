"""Documents with one thing wrong inside: every place of one, with every kind of value that does not belong there."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from components.common.errors import InputError

ODD: tuple[Any, ...] = (None, "", "x", -1, 1.5, 1e300, 10**400, [], ["x"], {}, {"x": 1}, True, False)
REMOVED = object()


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document but the whole, as a path of keys and indices."""
    inside: Any = ()
    if isinstance(document, dict):
        inside = document.items()
    elif isinstance(document, list):
        inside = enumerate(document)
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutations(document: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any, dict[str, Any]]]:
    """(place, what is there now or REMOVED, the document with it)."""
    for path in places(document):
        for value in (*ODD, REMOVED):
            changed = copy.deepcopy(document)
            parent: Any = changed
            for key in path[:-1]:
                parent = parent[key]
            if value is REMOVED:
                del parent[path[-1]]
            elif type(parent[path[-1]]) is type(value) and parent[path[-1]] == value:
                continue
            else:
                parent[path[-1]] = copy.deepcopy(value)
            yield path, value, changed


def refusal(reader: Callable[[], Any]) -> tuple[str, Any]:
    """What a reader says in its one sentence, "" for nothing, and what it returns; another exception is raised."""
    try:
        return "", reader()
    except InputError as error:
        return str(error), None
