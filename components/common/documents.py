"""YAML and JSON, read strictly: nothing in a text is dropped, guessed or endless; what is wrong is said in words.

PyYAML and the json module take the last of two equal keys, PyYAML reads 1e-3 as text and follows aliases into more
copies than memory holds, and both end with a RecursionError a thousand levels deep.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from components.common import strict_json
from components.common.strict_json import DocumentError, shown, too_deep

VALUES = 200_000  # of a YAML document, an alias counted with all that it stands for
LEAST, LARGEST = -(2**63), 2**64 - 1  # whole numbers that other programs can hold too
BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml takes a tenth of PyYAML's time
MERGE = "<<"
NODES: Any = yaml.NodeEvent  # with attributes that its stub does not have
BASED = re.compile(r"[-+]?(0[0-9_]+|[1-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")  # 010 is 8 in YAML 1.1, and 1:30 is 90


class Loader(BASE):
    """A safe loader that reads 1e-3 and 1.5e3 as numbers, like YAML 1.2 and JSON; to PyYAML they are text."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+\Z"),
    list("-+.0123456789"),
)


@dataclass
class _Open:
    """An object or list whose end has not come yet.

    Attributes:
        anchor: Its name for aliases, or None.
        before: Values before it.
        keys: Of an object, those so far; None for a list.
        is_key: Whether the next value in an object is a key.
    """

    anchor: str | None
    before: int
    keys: set[str] | None
    is_key: bool = True


def parse(text: str) -> Any:
    """The value of a YAML or JSON text that a person wrote.

    Raises:
        DocumentError: neither of them, or more than one document; a key twice, or one that is no text; a number that is
            not finite or does not fit 64 bits; too many levels or values.
    """
    text = text.removeprefix("\ufeff")
    value: Any = None
    is_json = text.lstrip().startswith(("{", "["))
    if is_json:
        try:
            value = strict_json.read(text)
        except json.JSONDecodeError:  # YAML may begin so too
            is_json = False
    if not is_json:
        value = _from_yaml(text)
    _expect_plain(value, 0)
    return value


def _from_yaml(text: str) -> Any:
    try:
        _survey(text)
        return yaml.load(text, Loader=Loader)  # noqa: S506  a safe one
    except DocumentError:
        raise
    except Exception as error:  # 1024-64-32 is no date, and what an explicit tag stands before may be anything
        raise DocumentError(f"invalid YAML ({' '.join(str(error).split())})") from None


def _survey(text: str) -> None:
    """Looks through a YAML text before anything is built of it: levels, values, keys, documents."""
    levels: list[_Open] = []
    sizes: dict[str, int] = {}  # values in what an alias may stand for
    values = documents = 0
    events: Iterator[Any] = yaml.parse(text, Loader=Loader)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise DocumentError(f"a second document from line {_line(event)} on")
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = levels.pop()
            if ended.anchor:
                sizes[ended.anchor] = values - ended.before
        elif isinstance(event, NODES):
            if levels:
                _expect_new_key(levels[-1], event)
            if isinstance(event, yaml.CollectionStartEvent):
                keys = set[str]() if isinstance(event, yaml.MappingStartEvent) else None
                levels.append(_Open(event.anchor, values, keys))
                values += 1
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in sizes:  # of itself, or of nothing
                    raise DocumentError(f"the alias *{event.anchor} before the end of what it stands for")
                values += sizes[event.anchor]
            else:
                values += 1
                if event.anchor:
                    sizes[event.anchor] = 1
                if event.implicit[0] and BASED.fullmatch(event.value):
                    found = f"{event.value}, in base 8 or 60 to YAML: write it in base 10, or in quotes if it is a text"
                    raise DocumentError(found)
            if len(levels) > strict_json.LEVELS:
                raise too_deep()
            if values > VALUES:
                raise DocumentError(f"more than {VALUES:,} values")


def _expect_new_key(parent: _Open, event: Any) -> None:
    """Raises DocumentError where a key of an object is there already."""
    if parent.keys is None:
        return
    key = event.value if parent.is_key and isinstance(event, yaml.ScalarEvent) else MERGE
    if key in parent.keys:
        raise DocumentError(f"the key {shown(key)} twice, again in line {_line(event)}")
    if key != MERGE:
        parent.keys.add(key)
    parent.is_key = not parent.is_key


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _expect_plain(value: Any, level: int) -> None:
    """Raises DocumentError at what JSON could not carry, or other programs not hold."""
    if level > strict_json.LEVELS:
        raise too_deep()
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise DocumentError(f"the key {shown(key)}, which is no text: put it in quotes")
            _expect_plain(part, level + 1)
    elif isinstance(value, list):
        for part in value:
            _expect_plain(part, level + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        strict_json.refuse_number(str(value))
    elif isinstance(value, int) and not LEAST <= value <= LARGEST:
        raise DocumentError(f"the number {shown(value)}, which does not fit 64 bits")
