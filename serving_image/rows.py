"""Request bodies to rows: what a model is asked, checked field by field."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from serving_image.refusals import Refusal, shown

INT64 = 1 << 63
FLOAT32 = 3.4028234663852886e38  # the largest
FIELDS = ("instances", "parameters")
OPTIONS = ("k", "exclude", "category")
CORRECT = "Correct the request."


class Limits(NamedTuple):
    """What one request may ask: bytes of its body, instances, products an instance, and products it excludes."""

    body: int = 1 << 20
    instances: int = 256
    k: int = 1000
    exclude: int = 1000


class Column(NamedTuple):
    """A raw customer column: its name, "string", "int64" or "float", and what the model takes where it is not given."""

    name: str
    kind: str
    default: Any


class Row(NamedTuple):
    """One instance: the values of all columns, and which products are wanted."""

    values: tuple[Any, ...]
    k: int
    exclude: Sequence[int]
    category: str


class Reader:
    """Reads request bodies.

    Args:
        columns: The columns that an instance may have, in the order of `Row.values`.
        limits: Beyond them a request is refused.
        default_k: Products an instance gets that does not say.
    """

    def __init__(self, columns: Sequence[Column], limits: Limits, default_k: int):
        self.limits, self.default_k = limits, default_k
        self.columns = [(column.name, CHECKS[column.kind], column.default) for column in columns]

    def read(self, body: bytes) -> list[Row]:
        """The rows of {"instances": [{column: …, "k": 10, "exclude": [1], "category": "…"}], "parameters": {"k": 10}}.

        Everything in an instance is optional; null is as good as nothing. An unknown field is refused: a column whose
        name has a slip would silently cost quality.

        Raises:
            Refusal: status 400, or 413 for too many instances.
        """
        document = _parsed(body)
        if type(document) is not dict:
            raise _refusal("the body", shown(document), "a JSON object with the field instances")
        instances, parameters = document.get("instances"), document.get("parameters")
        if type(instances) is not list or not instances:
            found = shown(instances) if "instances" in document else "nothing"
            raise _refusal("instances", found, "a list of at least one object")
        if len(instances) > self.limits.instances:
            found, expected = f"{len(instances)} instances", f"at most {self.limits.instances} a request"
            raise Refusal(413, "instances", found, expected, "Send them in several requests.")
        k, keys = self.default_k, len(document)
        if parameters is not None:
            if type(parameters) is not dict:
                raise _refusal("parameters", shown(parameters), "an object")
            keys += len(parameters)
            k = self._k(parameters.pop("k", None), "parameters.k", k)
        _expect_known(document, FIELDS, "the body")
        _expect_known(parameters or {}, (), "parameters", ("k",))
        rows = []
        for place, instance in enumerate(instances):
            if type(instance) is not dict:
                raise _refusal(f"instances[{place}]", shown(instance), "an object")
            keys += len(instance)
            rows.append(self._row(instance, place, k))
        if body.count(b":") != keys:  # a colon a key, unless one is in a text or a key came twice
            _expect_unique(body)
        return rows

    def _row(self, instance: dict[str, Any], place: int, k: int) -> Row:
        values = []
        for name, check, default in self.columns:
            value = instance.pop(name, None)
            if value is None:
                value = default
            else:
                expected = check(value)
                if expected:
                    raise _refusal(f"instances[{place}].{name}", shown(value), expected)
            values.append(value)
        if not instance:
            return Row(tuple(values), k, (), "")
        k = self._k(instance.pop("k", None), f"instances[{place}].k", k)
        exclude = self._exclude(instance.pop("exclude", None), f"instances[{place}].exclude")
        category = instance.pop("category", None) or ""
        if type(category) is not str:
            raise _refusal(f"instances[{place}].category", shown(category), "a text")
        if instance:
            known = (*(name for name, _, _ in self.columns), *OPTIONS)
            _expect_known(instance, (), f"instances[{place}]", known)
        return Row(tuple(values), k, exclude, category)

    def _k(self, value: Any, where: str, default: int) -> int:
        if value is None:
            return default
        if type(value) is not int or not 1 <= value <= self.limits.k:
            raise _refusal(where, shown(value), f"a whole number from 1 to {self.limits.k}")
        return value

    def _exclude(self, value: Any, where: str) -> Sequence[int]:
        if value is None:
            return ()
        if type(value) is not list:
            raise _refusal(where, shown(value), "a list of product ids")
        if len(value) > self.limits.exclude:
            raise _refusal(where, f"{len(value)} products", f"at most {self.limits.exclude}")
        for place, product in enumerate(value):
            if type(product) is not int or not -INT64 <= product < INT64:
                raise _refusal(f"{where}[{place}]", shown(product), "a product id, a whole number of 64 bits")
        return value


def _expect_known(fields: dict[str, Any], known: tuple[str, ...], where: str, further: tuple[str, ...] = ()) -> None:
    """Raises Refusal where an object has a field that is not known; `further` have been taken out of it."""
    for name in fields:
        if name not in known:
            raise _refusal(where, f"an unknown field {shown(name)}", f"only {', '.join((*known, *further))}")


def _text(value: Any) -> str:
    """Nothing if the value is right, else what was expected. Numbers are no ids: 007 and 7 would be one customer."""
    return "" if type(value) is str else "a text, in quotes"


def _integer(value: Any) -> str:
    return "" if type(value) is int and -INT64 <= value < INT64 else "a whole number of 64 bits"


def _number(value: Any) -> str:
    right = type(value) in (int, float) and math.isfinite(value) and abs(value) <= FLOAT32
    return "" if right else "a number that fits in 32 bits"


CHECKS: dict[str, Callable[[Any], str]] = {"string": _text, "int64": _integer, "float": _number}


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _refusal(f"the body, {_place(error)}", error.msg, "JSON in UTF-8, all of its numbers finite") from None


def _place(error: orjson.JSONDecodeError) -> str:
    return f"line {error.lineno}, column {error.colno}"


def _expect_unique(body: bytes) -> None:
    """Raises Refusal where a JSON object has a key twice: readers differ in which of the two they take."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            again = next(name for name in names if names.count(name) > 1)
            raise _refusal("the body", f"the field {shown(again)} twice in one object", "every field once")
        return found

    try:
        json.loads(body, object_pairs_hook=unique)
    except RecursionError:  # in the first of two fields of a name: the second was what was checked
        raise _refusal("the body", "deep nesting", "one object an instance") from None


def _refusal(where: str, found: str, expected: str) -> Refusal:
    return Refusal(400, where, found, expected, CORRECT)
