"""Who bought what when, read from the Examples: the histories that training learns from, and those that it leaves."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from components.common import schema
from components.common.errors import InputError
from components.common.example_part import Part
from components.common.vocabularies import require
from trainer_image import inputs
from trainer_image.cache import Cache, Column
from trainer_image.features import CUSTOMERS, Encoder
from trainer_image.history import KEY, History
from trainer_image.inputs import Purchases

DAY = 86_400


class Rows(NamedTuple):
    """R purchases of one split.

    Attributes:
        customer: int32 [R], the row of each customer, 0 for one that nobody knows.
        place: int32 [R], the product, as an index of the catalogue, or inputs.UNKNOWN.
        time: int64 [R], Unix seconds.
    """

    customer: np.ndarray
    place: np.ndarray
    time: np.ndarray


def with_customers(vocabularies: dict[str, dict[str, Any]], path: str, part: Part) -> dict[str, Any]:
    """The vocabularies, with those who may have a history under CUSTOMERS: who bought in training, or in `part`.

    An id feature knows the customers of training alone, because it has learned nothing of others. A history needs no
    learning.

    Args:
        vocabularies: The features of vocabularies.json.
        path: Where that file came from, for errors.
        part: The rows of a later split.
    """
    tokens = require(vocabularies, path, schema.CUSTOMER, "tokens")
    found: set[bytes] = set()
    for batch in part.batches({schema.CUSTOMER: "string"}):
        found.update(np.unique(batch[schema.CUSTOMER]).tolist())
    later = sorted(found - {token.encode() for token in tokens})
    return {**vocabularies, CUSTOMERS: {"tokens": [*tokens, *(_decoded(customer, part) for customer in later)]}}


def read(part: Part, encoder: Encoder, catalogue: list[str], cache: Cache) -> Rows:
    """Reads a split once more.

    Args:
        part: The rows of the split.
        encoder: The query tower's, which has a `history`.
        catalogue: Product ids in index order.
        cache: Where the arrays live.
    """
    columns = {**encoder.columns, schema.CUSTOMER: "string", schema.PRODUCT: "int64", schema.TIMESTAMP: "int64"}
    index = inputs.product_index(catalogue)

    def encode(raw: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return encoder(raw)[KEY], index.lookup(raw[schema.PRODUCT]), raw[schema.TIMESTAMP]

    found = [Column(cache) for _ in Rows._fields]
    with part.explained(columns):
        for values in part.dataset(columns).map(encode, num_parallel_calls=2).as_numpy_iterator():
            for column, value in zip(found, values, strict=True):
                column.append(value)
    part.expect_rows(found[0].rows)
    return Rows(*(column.array() for column in found))


def history(parts: Sequence[Rows], customers: int, method: str) -> History:
    """The history of what was bought in some splits.

    Args:
        parts: The splits.
        customers: C; rows beyond are nobody's.
        method: How the splits were made, "temporal" or "random".
    """
    customer, place, time = (np.concatenate(column) for column in zip(*parts, strict=True))
    known = (customer > 0) & (place != inputs.UNKNOWN)
    ages = ((time.max() - time[known]) / DAY).astype(np.float32)
    customer, place = customer[known], place[known]
    order = np.lexsort((-ages, place, customer))
    starts = np.searchsorted(customer[order], np.arange(customers + 2))
    return History(
        starts, place[order].astype(np.int32), ages[order], float(ages.max(initial=0.0)), method == "temporal"
    )


def expect_one_query_each(purchases: Purchases, path: str) -> None:
    """Raises InputError where a customer's training rows differ in what the query tower reads."""
    rows = purchases.queries[KEY]
    if len(np.unique(rows)) < len(rows):
        raise InputError(
            f"{path}, with a feature of kind history",
            f"{len(rows):,} different queries of {len(np.unique(rows)):,} customers",
            "query features that are the same in all rows of a customer",
            "Take the features that change from purchase to purchase out of the query tower, or extract with "
            "revenue_as_of training.",
        )


def _decoded(customer: bytes, part: Part) -> str:
    try:
        return customer.decode()
    except UnicodeDecodeError:
        found = f"a customer {customer!r}"
        remedy = "Correct the source of the Examples, and write them again."
        raise InputError(part.where, found, "text in UTF-8", remedy) from None
