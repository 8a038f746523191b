"""Candidate embeddings as Vertex AI Vector Search reads them: JSON lines in a folder that holds nothing else.

Format: https://cloud.google.com/vertex-ai/docs/vector-search/setup/format-structure
"""

import json
from typing import Any

import numpy as np

from components.common import schema, storage

FILE = "embeddings.json"
NAMESPACES = {"category": schema.CATEGORY, "subcategory": schema.SUBCATEGORY}
CROWDING = schema.SUBCATEGORY


def write(folder: str, catalogue: list[str], embeddings: np.ndarray, products: dict[str, dict[str, Any]]) -> None:
    """Writes one line per product.

    Searches can be restricted to a category or subcategory, and can be told how many products of one
    subcategory (the crowding tag) they may return. A product without one is left without.

    Args:
        folder: An existing local folder.
        catalogue: Product ids [N].
        embeddings: float32 [N, D].
        products: The product lookup of metadata.json.
    """
    with open(storage.join(folder, FILE), "w", encoding="utf-8") as file:
        for product, embedding in zip(catalogue, embeddings, strict=True):
            json.dump(datapoint(product, embedding, products[product]), file, ensure_ascii=False)
            file.write("\n")


def datapoint(product: str, embedding: np.ndarray, lookup: dict[str, Any]) -> dict[str, Any]:
    restricts = [
        {"namespace": namespace, "allow": [lookup[column]]}
        for namespace, column in NAMESPACES.items()
        if lookup.get(column)
    ]
    numbers = [float(str(value)) for value in embedding]  # the shortest decimals that give the same float32
    tag = {"crowding_tag": lookup[CROWDING]} if lookup.get(CROWDING) else {}
    return {"id": product, "embedding": numbers, "restricts": restricts, **tag}
