"""vocabularies.json, as the VocabBuilder writes it and everybody after it reads it."""

from typing import Any

import numpy as np

from components.common import schema, storage
from components.common.errors import InputError

FORMAT_VERSION = 1


def read_vocabularies(path: str) -> dict[str, dict[str, Any]]:
    """Returns the features of vocabularies.json.

    A feature with tokens is {"tokens": [str], "counts": [int]}, sorted by count, then token; a numeric one is
    {"count", "mean", "variance", "min", "max", "quantiles": [101 floats, the 0th to the 100th percentile]}.

    Raises:
        InputError: not there, another version, or a field of the contract is missing.
    """
    document = storage.read_json(path, "the vocabularies.json of the VocabBuilder")
    schema.expect_version(path, document, FORMAT_VERSION, "VocabBuilder")
    features = document.get("features")
    if not features or not isinstance(features, dict):
        raise InputError(f"{path}, field features", "nothing", "an object", "Run the VocabBuilder again.")
    return features


def require(features: dict[str, dict[str, Any]], path: str, name: str, field: str) -> Any:
    """features[name][field], or an InputError that says which entry of the file is missing."""
    if name not in features or field not in features[name]:
        raise InputError(
            f"{path}, feature {name}",
            f"no {field}",
            f"{field} of {name}, which the feature config uses",
            "Run the VocabBuilder with this feature config.",
        )
    return features[name][field]


def purchases_of(features: dict[str, dict[str, Any]], path: str, catalogue: list[str]) -> np.ndarray:
    """Training purchases of each product of the catalogue, float64 [N]."""
    tokens = require(features, path, schema.PRODUCT, "tokens")
    counts = dict(zip(tokens, require(features, path, schema.PRODUCT, "counts"), strict=True))
    return np.array([counts.get(product, 0) for product in catalogue], np.float64)
