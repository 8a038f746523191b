"""What is wrong with a feature config, in words: pydantic's errors, and those that it does not know."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError


def refusal(place: tuple[str | int, ...], found: Any, expected: str) -> ValidationError:
    kind = PydanticCustomError("feature_config", "{expected}", {"expected": expected})
    return ValidationError.from_exception_data("feature config", [{"type": kind, "loc": place, "input": found}])


def in_words(error: Any) -> tuple[str, Any, str]:
    """Where, found and expected of one of pydantic's errors."""
    place, kind = _place(error["loc"]), error["type"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return f"{place}.kind", error["ctx"].get("tag"), "one of id, text, numeric, temporal, cross, history"
    expected = {
        "missing": "a value",
        "extra_forbidden": "no field of this name",
        "string_pattern_mismatch": "a column name: letters, digits and _, 128 at most, and a letter first",
        "too_short": f"at least {error.get('ctx', {}).get('min_length')}",
        "int_type": "a whole number",
        "model_type": "an object",
        "model_attributes_type": "an object",
    }.get(kind, error["msg"].removeprefix("Input should be "))
    return place, None if kind == "missing" else error["input"], expected


def _place(parts: tuple[str | int, ...]) -> str:
    """query.features[2].dim of ("query", "features", 2, "id", "dim"): pydantic adds the kind of the entry."""
    written = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts if part != "[key]"]
    if parts[1:2] == ("features",) and len(parts) > 3:
        del written[3]
    return "".join(written).removeprefix(".")
