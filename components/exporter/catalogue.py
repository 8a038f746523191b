"""The catalogue of a release: every product of the model with its embedding and what is shown of it."""

from typing import Any, NamedTuple

import numpy as np

from components.common import saved_models, schema
from components.common.errors import InputError
from components.exporter.signatures import NO_PRODUCT


class Catalogue(NamedTuple):
    """N products, in the order of the model's catalogue."""

    ids: np.ndarray  # int64 [N]
    names: np.ndarray  # UTF-8 bytes [N], b"" where the lookup knows none; so are the next two
    categories: np.ndarray
    subcategories: np.ndarray
    columns: dict[str, np.ndarray]  # what the candidate model reads, each [N]
    embeddings: np.ndarray  # float32 [N, D]


def read(
    catalogue: list[str], candidate_model: saved_models.SavedModel, products: dict[str, dict[str, Any]], where: str
) -> Catalogue:
    """Asks the candidate model for the embeddings of its catalogue.

    Args:
        catalogue: Product ids [N] of model_metadata.json.
        candidate_model: The Trainer's.
        products: The product lookup of metadata.json.
        where: metadata.json, for errors.

    Raises:
        InputError: a product lacks what the candidate model reads, has an id that stands for none, or its embedding is
            not finite.
    """
    columns = saved_models.product_columns(catalogue, products, candidate_model.columns, where)
    ids = columns[schema.PRODUCT]
    if (ids == NO_PRODUCT).any():
        remedy = "Give this product another id."
        raise InputError(
            f"{where}, field products", f"product {NO_PRODUCT}", "ids other than that of no product", remedy
        )

    def shown(column: str) -> np.ndarray:
        return np.array([str(products[product].get(column) or "").encode() for product in catalogue], object)

    return Catalogue(
        ids=ids,
        names=shown(schema.NAME),
        categories=shown(schema.CATEGORY),
        subcategories=shown(schema.SUBCATEGORY),
        columns={column: columns[column] for column in candidate_model.columns},
        embeddings=candidate_model.embed(columns, schema.PRODUCT),
    )
