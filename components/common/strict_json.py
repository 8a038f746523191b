"""JSON, read strictly: no key twice, no number that is not finite, not endlessly deep."""

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

LEVELS = 64  # objects and lists within each other
HALVES = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")  # of a sign beyond 16 bits: one alone is no text


class DocumentError(ValueError):
    """What is wrong with a text, as words that can follow «found»."""


def parse(text: str) -> Any:
    """The value of a JSON text that a program wrote, however large; whoever reads it knows which types to expect.

    Raises:
        DocumentError: not JSON; a key twice, a number that is not finite, or too many levels.
    """
    try:
        return read(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise DocumentError(f"invalid JSON ({error})") from None


def shown(value: object) -> str:
    """A value for an error, cut short."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # a whole number of more digits than Python writes
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= 120 else f"{text[:117]}..."


def read(text: str) -> Any:
    """The same, but what is no JSON at all raises json.JSONDecodeError."""
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=refuse_number, parse_float=_float)
        _expect_shallow(value)
        _expect_unicode(text, value)
    except UnicodeEncodeError as error:
        raise DocumentError(f"a text that is no Unicode ({error.reason}: {error.object[error.start]!a})") from None
    except (json.JSONDecodeError, DocumentError):
        raise
    except RecursionError:
        raise too_deep() from None
    except ValueError as error:  # a whole number of thousands of digits
        raise DocumentError(f"a number that cannot be read ({error})") from None
    return value


def _expect_shallow(value: Any) -> None:
    """Raises DocumentError where a value has too many levels for those who walk through it, a stack frame a level."""
    level = [value]
    for _ in range(LEVELS + 1):
        parents = [part for part in level if isinstance(part, dict | list)]
        level = [part for parent in parents for part in (parent.values() if isinstance(parent, dict) else parent)]
    if level:
        raise too_deep()


def _expect_unicode(text: str, value: Any) -> None:
    """Raises UnicodeEncodeError where half of a sign is in the value of a text."""
    if HALVES.search(text):
        json.dumps(value, ensure_ascii=False).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise DocumentError(f"the key {shown(twice)} twice")
    return found


def refuse_number(text: str) -> NoReturn:
    raise DocumentError(f"the number {text}, which is not finite")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        refuse_number(text[:40])
    return value


def too_deep() -> DocumentError:
    return DocumentError(f"more than {LEVELS} levels of objects and lists")
