"""The purchases that the proof needs: the test split's, and what its customers bought in training."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute

from components.common import saved_models, schema
from components.common.example_part import Part

NOTHING = -1  # fills rows of products up

pc = pyarrow.compute


class Purchases(NamedTuple):
    """R purchases of U queries: rows that share the query model's columns are one query, as for the Evaluator."""

    raw: dict[str, np.ndarray]  # the query model's columns [U]
    query: np.ndarray  # int64 [R], the query of each purchase
    target: np.ndarray  # int64 [R], the place of its product in the catalogue, or ranking.NOT_IN_CATALOGUE
    customers: np.ndarray  # bytes [U], a customer of each query
    customer: np.ndarray  # int64 [R], the customer of each purchase, numbered as the Evaluator does

    def names(self, queries: slice | np.ndarray) -> list[str]:
        """What errors call queries."""
        return [f"customer {customer.decode(errors='replace')}" for customer in self.customers[queries]]


def read(test: Part, columns: dict[str, str], catalogue: np.ndarray) -> Purchases:
    """Reads the test split.

    Args:
        test: Its rows.
        columns: The query model's columns with their types.
        catalogue: Product ids, int64 [N].

    Raises:
        InputError: no rows, other rows than metadata.json says, or a shard that lacks a column.
    """
    rows = test.read({**columns, schema.CUSTOMER: "string", schema.PRODUCT: "int64"})
    first, query = saved_models.distinct({column: rows[column] for column in columns})
    return Purchases(
        raw={column: rows[column][first] for column in columns},
        query=query,
        target=_places(rows[schema.PRODUCT], pa.array(catalogue, pa.int64())),
        customers=rows[schema.CUSTOMER][first],
        customer=saved_models.distinct({schema.CUSTOMER: rows[schema.CUSTOMER]})[1],
    )


def bought(train: Part, customers: np.ndarray) -> list[np.ndarray]:
    """What customers bought in training.

    Args:
        train: The rows of the train split.
        customers: bytes [C], distinct or not.

    Returns:
        Distinct product ids, int64, of each of the C customers.
    """
    names = np.unique(customers.astype(object))
    among = pa.array(names, pa.binary())
    pairs = [np.empty((0, 2), np.int64)]
    for rows in train.batches({schema.CUSTOMER: "string", schema.PRODUCT: "int64"}):
        customer = _places(rows[schema.CUSTOMER], among)
        found = np.stack([customer, rows[schema.PRODUCT]], axis=1)[customer >= 0]
        pairs.append(np.unique(found, axis=0))
    of_all = np.unique(np.concatenate(pairs), axis=0)
    products = np.split(of_all[:, 1], np.searchsorted(of_all[:, 0], np.arange(1, len(names))))
    return [products[place] for place in _places(customers, among)]


def filled(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of different lengths as one array, int64 [len(rows), longest], filled up with NOTHING."""
    table = np.full((len(rows), max(map(len, rows), default=0)), NOTHING, np.int64)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


def _places(values: np.ndarray, among: pa.Array) -> np.ndarray:
    """Where each value stands among distinct ones: int64 [R], -1 (NOT_IN_CATALOGUE) where it does not."""
    found = pc.index_in(pa.array(values, among.type), among)
    return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
