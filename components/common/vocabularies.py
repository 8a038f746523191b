"""vocabularies.json, as the VocabBuilder writes it and everybody after it reads it; or tokens alone, as others do."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from components.common import fingerprints, progress, schema, storage
from components.common.errors import InputError
from components.common.example_part import Part

FORMAT_VERSION = 1
WRITER = "VocabBuilder"
OF_TOKENS, OF_NUMBERS = ("tokens", "counts"), ("count", "mean", "variance", "min", "max", "quantiles")

Features = dict[str, dict[str, Any]]


class Vocabularies(NamedTuple):
    """vocabularies.json.

    A feature with tokens is {"tokens": [str], "counts": [int]}, sorted by count, then token; a numeric one is
    {"count", "mean", "variance", "min", "max", "quantiles": [101 floats, the 0th to the 100th percentile]}.

    Attributes:
        path: The file.
        features: By column.
        examples: The fingerprint of the examples that it was made from; "" where it does not say.
        fingerprint: Its own; "" for none.
        is_complete: The VocabBuilder wrote it. Otherwise it may hold tokens alone, see `completed`.
    """

    path: str
    features: Features
    examples: str = ""
    fingerprint: str = ""
    is_complete: bool = True

    def expect_of(self, examples: str, path: str, mix: bool) -> None:
        """Raises InputError where they were made from other examples.

        Args:
            examples: The fingerprint of those that they are used with.
            path: Where these are.
            mix: Whether that is wanted.
        """
        fingerprints.expect_same(f"{self.path}, field examples", self.examples, examples, path, mix)

    def completed(self, train: Part, columns: Mapping[str, str]) -> "Vocabularies":
        """The same with what it lacks counted in the train split: counts of its tokens, statistics, whole features.

        Tokens that the train split does not have are left out, as the VocabBuilder would: nothing is learned of them.

        Args:
            train: The train split.
            columns: The columns that are needed, with their types.
        """
        if self.is_complete:
            return self
        from components.common import value_counts

        missing = {
            name: kind
            for name, kind in columns.items()
            if not set(OF_NUMBERS if kind == "float" else OF_TOKENS) <= set(self.features.get(name, {}))
        }
        counted: Features = {}
        if missing:
            with progress.shown("Counting tokens"):
                accumulator = value_counts.count(train, missing)
            if not accumulator.rows:
                raise train.no_rows()
            counted = value_counts.features(accumulator)
        for name, found in counted.items():
            listed = set(self.features.get(name, {}).get("tokens", ()))
            if listed and "tokens" in found:
                pairs = zip(found["tokens"], found["counts"], strict=True)
                kept = [(token, times) for token, times in pairs if token in listed]
                counted[name] = {"tokens": [token for token, _ in kept], "counts": [times for _, times in kept]}
        return self._replace(features={**self.features, **counted}, is_complete=True)


def document(rows: int, features: Features, examples: str) -> dict[str, Any]:
    """The content of the file.

    Args:
        rows: Of the train split.
        features: By column.
        examples: The fingerprint of the examples; "" for none.
    """
    content: dict[str, Any] = {"format_version": FORMAT_VERSION, "rows": rows}
    content |= {"examples": examples} if examples else {}
    return {**content, "fingerprint": fingerprints.of({**content, "features": features}), "features": features}


def read(path: str) -> Vocabularies:
    """Reads the file, local or gs://.

    Raises:
        InputError: not there, neither of the two forms, another version, changed since it was written, or a field of
            the contract is missing.
    """
    content = storage.read_json(path, "the vocabularies.json of the VocabBuilder, or {column: [tokens]}")
    if content and not {"format_version", "features"} & set(content):
        return Vocabularies(
            path, {name: _tokens(path, name, tokens) for name, tokens in content.items()}, "", "", False
        )
    schema.expect_version(path, content, FORMAT_VERSION, WRITER)
    features, again = content.get("features"), f"Run the {WRITER} again."
    if not features or not isinstance(features, dict):
        raise InputError(f"{path}, field features", "nothing", "an object", again)
    for name, feature in features.items():
        _expect_feature(f"{path}, feature {name}", feature, again)
    examples, own = (content.get(field, "") for field in ("examples", "fingerprint"))
    for field, value in (("examples", examples), ("fingerprint", own)):
        if not isinstance(value, str):
            raise InputError(f"{path}, field {field}", repr(value)[:60], "a fingerprint, as a text", again)
    stood_for = {name: value for name, value in content.items() if name != "fingerprint"}
    fingerprints.expect_own(path, own, stood_for, WRITER)
    return Vocabularies(path, features, examples, own)


def read_vocabularies(path: str) -> Features:
    """The features alone, see `read`."""
    return read(path).features


def _tokens(path: str, name: str, tokens: Any) -> dict[str, list[str]]:
    """A column of a file that holds tokens alone."""
    where, remedy = f"{path}, column {name}", 'Write {"COLUMN": ["TOKEN", …]}, each token once.'
    if not isinstance(tokens, list):
        raise InputError(where, f"a {type(tokens).__name__}", "a list of tokens", remedy)
    for token in tokens:
        if isinstance(token, bool) or not isinstance(token, str | int):
            raise InputError(where, f"a {type(token).__name__} among the tokens", "texts", remedy)
    found = [str(token) for token in tokens]
    if len(set(found)) < len(found):
        again = next(token for token, times in Counter(found).items() if times > 1)
        raise InputError(where, f"the token {again!r} twice", "each token once", remedy)
    return {"tokens": found}


def _expect_feature(where: str, feature: Any, remedy: str) -> None:
    """Raises InputError where a feature is not as `Vocabularies` says; what it lacks, `require` tells."""
    if not isinstance(feature, dict):
        raise InputError(where, f"a {type(feature).__name__}", "an object", remedy)
    for field, kind in (("tokens", str), ("counts", int), ("quantiles", int | float)):
        values = feature.get(field, [])
        if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
            raise InputError(f"{where}, {field}", "something else", f"a list of {field}", remedy)
    if "counts" in feature and len(feature["counts"]) != len(feature.get("tokens", ())):
        found = f"{len(feature['counts'])} counts of {len(feature.get('tokens', ()))} tokens"
        raise InputError(where, found, "one of each", remedy)


def require(features: Features, path: str, name: str, field: str) -> Any:
    """features[name][field], or an InputError that says which entry of the file is missing."""
    if name not in features or field not in features[name]:
        raise InputError(
            f"{path}, feature {name}",
            f"no {field}",
            f"{field} of {name}, which the feature config uses",
            "Run the VocabBuilder with this feature config.",
        )
    return features[name][field]


def purchases_of(features: Features, path: str, catalogue: list[str]) -> np.ndarray:
    """Training purchases of each product of the catalogue, float64 [N]."""
    tokens = require(features, path, schema.PRODUCT, "tokens")
    counts = dict(zip(tokens, require(features, path, schema.PRODUCT, "counts"), strict=True))
    return np.array([counts.get(product, 0) for product in catalogue], np.float64)
