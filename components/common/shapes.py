"""What a JSON document must look like inside, so that who reads it need not ask: objects, lists and plain values.

Keys that a shape does not name may hold anything: later versions write more.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from components.common.errors import InputError
from components.common.strict_json import shown

ABSENT: Any = object()
LARGEST = sys.float_info.max


class Problem(NamedTuple):
    """What is wrong: where in the document, such as verdict.reasons[0].passed, what is there, and what should be."""

    place: str
    found: Any
    expected: str


class Shape(Protocol):
    """What a value must look like: `problems` yields what is wrong with one."""

    def problems(self, value: Any, place: str) -> Iterator[Problem]: ...


class Text(NamedTuple):
    """A text that is not empty; `form` is a regular expression of the whole, `words` says it."""

    words: str = "a text"
    form: str = r"(?s).+"

    def problems(self, value: Any, place: str) -> Iterator[Problem]:
        if not isinstance(value, str) or not re.fullmatch(self.form, value):
            yield Problem(place, value, self.words)


class Number(NamedTuple):
    """A finite number, a whole one if asked, between two ends."""

    least: float = -LARGEST
    most: float = LARGEST
    whole: bool = False

    def problems(self, value: Any, place: str) -> Iterator[Problem]:
        is_number = isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)
        if not is_number or not self.least <= value <= self.most:
            words = "a whole number" if self.whole else "a number"
            if self.most < LARGEST:
                words += f" from {self.least:g} to {self.most:g}"
            elif self.least > -LARGEST:
                words += f", {self.least:g} or more"
            yield Problem(place, value, words)


class Boolean(NamedTuple):
    """True or false."""

    def problems(self, value: Any, place: str) -> Iterator[Problem]:
        if not isinstance(value, bool):
            yield Problem(place, value, "true or false")


class Choice(NamedTuple):
    """One of some texts."""

    values: tuple[str, ...]

    def problems(self, value: Any, place: str) -> Iterator[Problem]:
        if not isinstance(value, str) or value not in self.values:
            yield Problem(place, value, " or ".join(self.values))


class Maybe(NamedTuple):
    """Null, or something of a shape."""

    of: Shape

    def problems(self, value: Any, place: str) -> Iterator[Problem]:
        if value is not None:
            yield from self.of.problems(value, place)


class Either(NamedTuple):
    """An object of one shape, or something else of another."""

    of_object: Shape
    of_others: Shape

    def problems(self, value: Any, place: str) -> Iterator[Problem]:
        yield from (self.of_object if isinstance(value, dict) else self.of_others).problems(value, place)


class List(NamedTuple):
    """At least so many items of one shape."""

    of: Shape
    least: int = 0

    def problems(self, value: Any, place: str) -> Iterator[Problem]:
        if not isinstance(value, list) or len(value) < self.least:
            yield Problem(place, value, f"a list of at least {self.least}" if self.least else "a list")
            return
        for number, item in enumerate(value):
            yield from self.of.problems(item, f"{place}[{number}]")


class Object(NamedTuple):
    """An object: keys that it must have, keys that it may have, and perhaps what all its other keys hold.

    Attributes:
        least: How many keys it has at least.
        words: What it is.
        keys: A regular expression of all its other keys.
    """

    needed: Mapping[str, Shape] = {}
    allowed: Mapping[str, Shape] = {}
    others: Shape | None = None
    least: int = 0
    words: str = "an object"
    keys: str = r"(?s).*"

    def problems(self, value: Any, place: str) -> Iterator[Problem]:
        if not isinstance(value, dict) or len(value) < self.least:
            yield Problem(place, value, f"{self.words} that is not empty" if self.least else self.words)
            return
        for key, shape in {**self.needed, **self.allowed}.items():
            if key in value or key in self.needed:
                yield from shape.problems(value.get(key, ABSENT), f"{place}.{key}".lstrip("."))
        if self.others is not None:
            for key in value:
                if key not in self.needed and key not in self.allowed:
                    if not re.fullmatch(self.keys, key):
                        yield Problem(place, key, f"keys like {self.keys}")
                    yield from self.others.problems(value[key], f"{place}.{key}".lstrip("."))


def expect(path: str, document: Any, shape: Shape, remedy: str) -> None:
    """Raises InputError where a document has not the shape: at the first place, and says how many more there are.

    Args:
        path: The file, for the error.
        document: What it holds.
        shape: What it should look like.
        remedy: What to do about it.
    """
    problems = list(shape.problems(document, ""))
    if not problems:
        return
    place, found, expected = problems[0]
    said = "nothing" if found is ABSENT else shown(found)
    more = f" ({len(problems) - 1} more fields are wrong)" if len(problems) > 1 else ""
    raise InputError(f"{path}, field {place}" if place else path, said, f"{expected}{more}", remedy)
