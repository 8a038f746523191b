"""Single values of a request, and how a wrong one is refused."""

import math
from collections.abc import Callable, Collection
from typing import Any

from serving_image.refusals import Refusal, shown

INT64 = 1 << 63
FLOAT32 = 3.4028234663852886e38  # the largest
PRODUCT = "a product id, a whole number of 64 bits"
CORRECT = "Correct the request."

Check = Callable[[Any], str]  # nothing if the value is right, else what was expected


def refusal(where: str, found: str, expected: str) -> Refusal:
    return Refusal(400, where, found, expected, CORRECT)


def expect_known(fields: Collection[str], known: Collection[str], where: str, further: tuple[str, ...] = ()) -> None:
    """Raises Refusal where an object has a field that is not known; `further` have been taken out of it."""
    for name in fields:
        if name not in known:
            raise refusal(where, f"an unknown field {shown(name)}", f"only {', '.join((*known, *further))}")


def product(value: Any) -> str:
    return "" if type(value) is int and -INT64 <= value < INT64 else PRODUCT


def days(value: Any) -> str:
    right = type(value) in (int, float) and 0 <= value <= FLOAT32
    return "" if right else "days since the purchase, a number from 0 that fits in 32 bits"


def _text(value: Any) -> str:
    """Numbers are no ids: 007 and 7 would be one customer."""
    return "" if type(value) is str else "a text, in quotes"


def _integer(value: Any) -> str:
    return "" if type(value) is int and -INT64 <= value < INT64 else "a whole number of 64 bits"


def _number(value: Any) -> str:
    right = type(value) in (int, float) and math.isfinite(value) and abs(value) <= FLOAT32
    return "" if right else "a number that fits in 32 bits"


CHECKS: dict[str, Check] = {"string": _text, "int64": _integer, "float": _number}
