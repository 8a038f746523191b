"""What an artifact was made from, by fingerprints: `made_from` of the documents of model, evaluation and release.

An artifact of an earlier version, or somebody else's, says nothing of it, and is taken as it is.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from components.common import fingerprints

MADE_FROM, FINGERPRINT = "made_from", "fingerprint"
TIMING = "timing"  # how long it took is no part of what an artifact is: equal ones have equal fingerprints
MODEL, EVALUATION, EXAMPLES, VOCABULARIES = "model", "evaluation", "examples", "vocabularies"


class Source(NamedTuple):
    """An artifact that is read: its fingerprint or version, "" for none, and the file that says so."""

    fingerprint: str
    path: str


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the fingerprint of all that is in it but its timing, as it will be read."""
    return {**document, FINGERPRINT: fingerprints.of(json.loads(json.dumps(_content(document))))}


def expect_sealed(path: str, document: Mapping[str, Any], writer: str) -> None:
    """Raises InputError where a document that was sealed has been changed since, by hand or by half a copy.

    Args:
        path: The file.
        document: What it holds.
        writer: The component that writes it.
    """
    fingerprints.expect_own(path, _text(document.get(FINGERPRINT)), _content(document), writer)


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in (FINGERPRINT, TIMING)}


def made_from(**sources: str) -> dict[str, dict[str, str]]:
    """{"made_from": {name: fingerprint}} of those that have one; nothing where none has."""
    known = {name: fingerprint for name, fingerprint in sources.items() if fingerprint}
    return {MADE_FROM: known} if known else {}


def expect(where: str, document: Mapping[str, Any], mix: bool = False, **sources: Source) -> None:
    """Raises InputError where a document was made from something else than what it is used with.

    Args:
        where: The file.
        document: What it holds.
        mix: That is wanted.
        sources: What it is used with, by the names in made_from.
    """
    said = document.get(MADE_FROM, {})
    for name, (fingerprint, path) in sources.items():
        place = f"{where}, field {MADE_FROM}.{name}"
        fingerprints.expect_same(place, _text(said.get(name)), fingerprint, path, mix)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
