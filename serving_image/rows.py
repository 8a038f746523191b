"""Request bodies to rows: what a model is asked, checked field by field."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from components.common.schema import HISTORY_OPTION
from serving_image import histories
from serving_image.checks import CHECKS, INT64, PRODUCT, expect_known, refusal
from serving_image.histories import History
from serving_image.refusals import Refusal, shown

FIELDS = ("instances", "parameters")
OPTIONS = ("k", "exclude", "category")


class Limits(NamedTuple):
    """What one request may ask: bytes of its body, instances; of an instance products, exclusions and purchases."""

    body: int = 1 << 20
    instances: int = 256
    k: int = 1000
    exclude: int = 1000
    history: int = 1000


class Column(NamedTuple):
    """A raw customer column: its name, "string", "int64" or "float", and what the model takes where it is not given."""

    name: str
    kind: str
    default: Any


class Row(NamedTuple):
    """One instance: the values of all columns, which products are wanted, and the purchases that it tells of."""

    values: tuple[Any, ...]
    k: int
    exclude: Sequence[int]
    category: str
    history: History | None = None


class Reader:
    """Reads request bodies.

    Args:
        columns: The columns that an instance may have, in the order of `Row.values`.
        limits: Beyond them a request is refused.
        default_k: Products an instance gets that does not say.
        has_history: Whether the model takes a history.
    """

    def __init__(self, columns: Sequence[Column], limits: Limits, default_k: int, has_history: bool = False):
        self.limits, self.default_k, self.has_history = limits, default_k, has_history
        self.columns = [(column.name, CHECKS[column.kind], column.default) for column in columns]

    def read(self, body: bytes) -> list[Row]:
        """The rows of {"instances": [{column: …, "k": 10, "exclude": [1], "category": "…"}], "parameters": {"k": 10}}.

        In place of the category there may be a "history": [{"product_id": 1, "days": 2.5}], see `histories.read`.
        Everything in an instance is optional; null is as good as nothing. An unknown field is refused: a column whose
        name has a slip would silently cost quality.

        Raises:
            Refusal: status 400, or 413 for too many instances.
        """
        document = _parsed(body)
        if type(document) is not dict:
            raise refusal("the body", shown(document), "a JSON object with the field instances")
        instances, parameters = document.get("instances"), document.get("parameters")
        if type(instances) is not list or not instances:
            found = shown(instances) if "instances" in document else "nothing"
            raise refusal("instances", found, "a list of at least one object")
        if len(instances) > self.limits.instances:
            found, expected = f"{len(instances)} instances", f"at most {self.limits.instances} a request"
            raise Refusal(413, "instances", found, expected, "Send them in several requests.")
        k, keys = self.default_k, len(document)
        if parameters is not None:
            if type(parameters) is not dict:
                raise refusal("parameters", shown(parameters), "an object")
            keys += len(parameters)
            k = self._k(parameters.pop("k", None), "parameters.k", k)
        expect_known(document, FIELDS, "the body")
        expect_known(parameters or {}, (), "parameters", ("k",))
        rows = []
        for place, instance in enumerate(instances):
            if type(instance) is not dict:
                raise refusal(f"instances[{place}]", shown(instance), "an object")
            keys += len(instance)
            row = self._row(instance, place, k)
            if row.history:
                keys += row.history.keys
            rows.append(row)
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
                    raise refusal(f"instances[{place}].{name}", shown(value), expected)
            values.append(value)
        if not instance:
            return Row(tuple(values), k, (), "")
        k = self._k(instance.pop("k", None), f"instances[{place}].k", k)
        exclude = self._exclude(instance.pop("exclude", None), f"instances[{place}].exclude")
        category = instance.pop("category", None) or ""
        if type(category) is not str:
            raise refusal(f"instances[{place}].category", shown(category), "a text")
        history = self._history(instance.pop(HISTORY_OPTION, None), f"instances[{place}]", category)
        if instance:
            further = (HISTORY_OPTION,) if self.has_history else ()
            known = (*(name for name, _, _ in self.columns), *OPTIONS, *further)
            expect_known(instance, (), f"instances[{place}]", known)
        return Row(tuple(values), k, exclude, category, history)

    def _k(self, value: Any, where: str, default: int) -> int:
        if value is None:
            return default
        if type(value) is not int or not 1 <= value <= self.limits.k:
            raise refusal(where, shown(value), f"a whole number from 1 to {self.limits.k}")
        return value

    def _exclude(self, value: Any, where: str) -> Sequence[int]:
        if value is None:
            return ()
        if type(value) is not list:
            raise refusal(where, shown(value), "a list of product ids")
        if len(value) > self.limits.exclude:
            raise refusal(where, f"{len(value)} products", f"at most {self.limits.exclude}")
        for place, product in enumerate(value):
            if type(product) is not int or not -INT64 <= product < INT64:
                raise refusal(f"{where}[{place}]", shown(product), PRODUCT)
        return value

    def _history(self, value: Any, where: str, category: str) -> History | None:
        if value is None or value == []:  # also of a model that takes none
            return None
        if not self.has_history:
            remedy = "Leave it out, or serve a release that takes a history."
            raise Refusal(400, f"{where}.{HISTORY_OPTION}", shown(value), "none, this model takes no history", remedy)
        if category:
            expected = "none beside a history, from which this model answers of all categories"
            raise Refusal(400, f"{where}.category", shown(category), expected, "Leave one of the two out.")
        return histories.read(value, f"{where}.{HISTORY_OPTION}", self.limits.history)


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise refusal(f"the body, {_place(error)}", error.msg, "JSON in UTF-8, all of its numbers finite") from None


def _place(error: orjson.JSONDecodeError) -> str:
    return f"line {error.lineno}, column {error.colno}"


def _expect_unique(body: bytes) -> None:
    """Raises Refusal where a JSON object has a key twice: readers differ in which of the two they take."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            again = next(name for name in names if names.count(name) > 1)
            raise refusal("the body", f"the field {shown(again)} twice in one object", "every field once")
        return found

    try:
        json.loads(body, object_pairs_hook=unique)
    except RecursionError:  # in the first of two fields of a name: the second was what was checked
        raise refusal("the body", "deep nesting", "one object an instance") from None
