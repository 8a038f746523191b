"""What a query model says of customers: embeddings and, where it knows a history, the terms of their own products.

A query model with a history takes two more inputs, each with the default [1, 0]: `history_products` int64 [1 or B, E],
one entry a purchase, -1 where there is none, and `history_ages` float32 [1 or B, E], days since each. A row without any
purchase is answered from what the model knows of its cust_person_id. It returns, besides, `own_products` int64 [B, H],
ids of the catalogue, -1 where there is none, and `own_scores` float32 [B, H], what is added to their scores.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from components.common import saved_models, schema
from components.common.errors import InputError
from components.common.own_terms import OwnTerms
from components.common.saved_models import OWN_PRODUCTS, OWN_SCORES, SavedModel


class Queries(NamedTuple):
    """U queries as the towers' scores need them."""

    embeddings: np.ndarray  # float32 [U, D]
    own: OwnTerms | None  # None of a model without a history

    def take(self, queries: slice | np.ndarray) -> "Queries":
        return Queries(self.embeddings[queries], None if self.own is None else self.own.take(queries))


def has_history(model: SavedModel) -> bool:
    """Whether it is a query model with a history."""
    return set(schema.HISTORY) <= set(model.specs)


def ask(model: SavedModel, raw: dict[str, np.ndarray], key: str, catalogue: np.ndarray) -> Queries:
    """Embeddings and own terms of raw columns.

    Args:
        model: A query model, or another signature that answers as one.
        raw: {column: [U or 1, …]}, perhaps a history among them.
        key: The column that names a row in an error.
        catalogue: All product ids of the model, int64 [N].

    Raises:
        InputError: the model returns something else, numbers that are not finite, a product twice or one that is not in
            the catalogue.
    """
    if not has_history(model) and OWN_PRODUCTS not in model.outputs:
        return Queries(model.embed(raw, key), None)
    missing = {OWN_PRODUCTS, OWN_SCORES} - set(model.outputs)
    if missing:
        expected = f"{OWN_PRODUCTS} and {OWN_SCORES} [rows, width], of a model with a history"
        raise InputError(model.path, f"no output {min(missing)}", expected, saved_models.TRAIN_AGAIN)
    order = np.argsort(catalogue)
    embeddings, own = [], []
    for start, outputs in model.batches(raw):

        def where(row: int, start: int = start) -> str:
            return f"{model.path}, {saved_models.named(raw, key, start + row)}, own terms"

        own.append(_terms(outputs.pop(OWN_PRODUCTS), outputs.pop(OWN_SCORES), catalogue, order, where))
        embeddings.append(outputs)
    joined = {name: np.concatenate([part[name] for part in embeddings]) for name in embeddings[0]}
    return Queries(model.checked(joined, raw, key), OwnTerms.joined(own))


def _terms(
    products: np.ndarray, scores: np.ndarray, catalogue: np.ndarray, order: np.ndarray, where: Callable[[int], str]
) -> OwnTerms:
    """The terms of one batch; `order` sorts the catalogue, `where` names a row in an error."""
    again = saved_models.TRAIN_AGAIN
    if products.ndim != 2 or products.shape != scores.shape:
        found = f"{OWN_PRODUCTS} {list(products.shape)}, {OWN_SCORES} {list(scores.shape)}"
        raise InputError(where(0), found, "one shape [rows, width]", again)
    place = order[np.searchsorted(catalogue, products, sorter=order).clip(max=len(catalogue) - 1)]
    given = products != schema.NO_PRODUCT
    unknown, bad = given & (catalogue[place] != products), given & ~np.isfinite(scores)
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        raise InputError(where(row), f"product {products[row, column]}", "a product of the model's catalogue", again)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        found = f"{scores[row, column]} for product {products[row, column]}"
        raise InputError(where(row), found, "a finite number", again)
    ascending = np.sort(np.where(given, place, -1 - np.arange(products.shape[1])), axis=1)
    twice = np.diff(ascending, axis=1) == 0
    if twice.any():
        row, column = np.argwhere(twice)[0]
        found = f"product {catalogue[ascending[row, column]]} twice"
        raise InputError(where(row), found, "every product once", again)
    return OwnTerms.of_rows(np.where(given, place, -1), scores)
