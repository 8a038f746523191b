"""The rows to rank: which query, customer and product each of them is."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.common import examples, saved_models, schema
from components.common.ranking import NOT_IN_CATALOGUE


class Split(NamedTuple):
    """One split: R rows of U distinct queries by C customers, against a catalogue of N products."""

    queries: dict[str, np.ndarray]  # raw columns of the distinct queries: {column: [U]}
    query: np.ndarray  # int64 [R], the query of each row
    customers: np.ndarray  # bytes [C], distinct
    customer: np.ndarray  # int64 [R], the customer of each row
    target: np.ndarray  # int64 [R], the row's product as a catalogue index, or NOT_IN_CATALOGUE


def read(files: list[str], query_columns: dict[str, str], catalogue: np.ndarray) -> Split:
    """Reads a split; 30,000 rows of 2,400 customers become 2,400 queries.

    Args:
        files: Local shards.
        query_columns: The raw columns that the query model reads, with their types.
        catalogue: int64 [N], product ids.

    Raises:
        InputError: no rows, or a shard that is damaged or lacks a column.
    """
    raw = examples.read(files, {**query_columns, schema.CUSTOMER: "string", schema.PRODUCT: "int64"})
    first, query = saved_models.distinct({column: raw[column] for column in query_columns})
    first_of_customer, customer = saved_models.distinct({schema.CUSTOMER: raw[schema.CUSTOMER]})
    place = pc.index_in(pa.array(raw[schema.PRODUCT]), pa.array(catalogue))
    return Split(
        queries={column: raw[column][first] for column in query_columns},
        query=query,
        customers=raw[schema.CUSTOMER][first_of_customer],
        customer=customer,
        target=pc.fill_null(place, NOT_IN_CATALOGUE).to_numpy().astype(np.int64),
    )
