"""Fingerprints: short names of contents, by which artifacts say what they were made from."""

import hashlib
import json
from typing import Any

from components.common.errors import InputError

DIGITS = 32


def of(content: Any) -> str:
    """The fingerprint of a JSON value: equal values have the same, whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def expect_own(where: str, found: str, content: Any, writer: str) -> None:
    """Raises InputError where a document does not hold what its own fingerprint stands for.

    Args:
        where: The file.
        found: The fingerprint in it; "" for none, which an earlier version wrote or somebody else.
        content: What it stands for.
        writer: The component that writes the file.
    """
    if found and found != of(content):
        raise InputError(
            f"{where}, field fingerprint",
            repr(found),
            f"{of(content)!r}, that of what the file holds: it was changed after it was written",
            f"Run the {writer} again, or take out the field fingerprint if the change is wanted.",
        )


def expect_same(where: str, found: str, expected: str, source: str, mix: bool) -> None:
    """Raises InputError where an artifact was made from something else than what it is used with.

    Args:
        where: File and field.
        found: The fingerprint of what it was made from; "" for none.
        expected: That of what it is used with; "" for none. Nothing can be said without both.
        source: What it is used with, in words.
        mix: Whether that is wanted.
    """
    if found and expected and found != expected and not mix:
        remedy = "Use artifacts of one run, or say by --mix (parameter mix) that this is wanted."
        raise InputError(where, repr(found), f"{expected!r}, the fingerprint of {source}", remedy)
