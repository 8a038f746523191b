"""Candidate embeddings as Vertex AI Vector Search reads them: JSON lines in a folder that holds nothing else.

Format: https://cloud.google.com/vertex-ai/docs/vector-search/setup/format-structure
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from components.common import schema, storage

FILE = "embeddings.json"
CROWDING = schema.SUBCATEGORY
NUMBERS = {"numeric": "value_float", "temporal": "value_int"}  # kinds of features whose values are compared


class Restricts(NamedTuple):
    """By what searches can be restricted."""

    tokens: dict[str, str]  # namespace to the column whose text is allowed
    numbers: dict[str, tuple[str, str]]  # namespace to the column and the field of its number


def restricts(feature_config: Mapping[str, Any]) -> Restricts:
    """Category and subcategory, and the features of the candidate tower that are marked with `restrict: true`.

    A marked feature's namespace is its column's name.

    Args:
        feature_config: As model_metadata.json holds it.
    """
    tokens, numbers = dict(schema.NAMESPACES), {}
    for entry in feature_config.get("candidate", {}).get("features", []):
        if not entry.get("restrict"):
            continue
        column = entry["name"]
        if entry["kind"] in NUMBERS:
            numbers[column] = column, NUMBERS[entry["kind"]]
        elif column not in tokens.values():
            tokens[column] = column
    return Restricts(tokens, numbers)


def write(
    folder: str,
    catalogue: list[str],
    embeddings: np.ndarray,
    products: dict[str, dict[str, Any]],
    restricted: Restricts,
) -> None:
    """Writes one line per product.

    Searches can be restricted to a category or subcategory and by marked features, and can be told how many products of
    one subcategory (the crowding tag) they may return. A product without one is left without.

    Args:
        folder: An existing local folder.
        catalogue: Product ids [N].
        embeddings: float32 [N, D].
        products: The product lookup of metadata.json.
        restricted: From `restricts`.
    """
    with open(storage.join(folder, FILE), "w", encoding="utf-8") as file:
        for product, embedding in zip(catalogue, embeddings, strict=True):
            point = datapoint(product, embedding, products[product], restricted)
            json.dump(point, file, ensure_ascii=False, allow_nan=False)
            file.write("\n")


def datapoint(product: str, embedding: np.ndarray, lookup: dict[str, Any], restricted: Restricts) -> dict[str, Any]:
    """One line; `lookup` is the product's entry of the product lookup."""
    about = {column: value for column, value in lookup.items() if value is not None and value != ""}
    tokens = [
        {"namespace": namespace, "allow": [str(about[column])]}
        for namespace, column in restricted.tokens.items()
        if column in about
    ]
    numbers = [
        {"namespace": namespace, field: about[column]}
        for namespace, (column, field) in restricted.numbers.items()
        if column in about and math.isfinite(about[column])
    ]
    return {
        "id": product,
        "embedding": [float(str(value)) for value in embedding],  # the shortest decimals that give the same float32
        "restricts": tokens,
        **({"numeric_restricts": numbers} if numbers else {}),
        **({"crowding_tag": about[CROWDING]} if CROWDING in about else {}),
    }
