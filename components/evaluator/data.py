"""The rows to rank: who bought what, when, where, in which basket."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from components.common import saved_models, schema
from components.common.example_part import Part

CITY = "city"
FACTS = {schema.CUSTOMER: "string", schema.PRODUCT: "int64", schema.TIMESTAMP: "int64"}


class Split(NamedTuple):
    """One split: R rows by C customers in K baskets and T cities."""

    raw: dict[str, np.ndarray]  # the raw columns {column: [R]} that the query models read
    customers: np.ndarray  # bytes [C], distinct
    customer: np.ndarray  # int64 [R], the customer of each row
    product: np.ndarray  # int64 [R], product ids
    time: np.ndarray  # int64 [R], Unix seconds
    basket: np.ndarray  # int64 [R]: what a customer bought at one time
    cities: np.ndarray  # bytes [T], distinct; empty where the Examples know no city
    city: np.ndarray  # int64 [R], the city of each row

    @property
    def rows(self) -> int:
        return len(self.product)

    @property
    def first_row(self) -> np.ndarray:
        """The earliest row of each customer, int64 [C]."""
        order = np.lexsort((self.time, self.customer))
        return order[np.searchsorted(self.customer[order], np.arange(len(self.customers)))]


def read(part: Part, query_columns: Mapping[str, str], has_city: bool = True) -> Split:
    """Reads a split.

    Args:
        part: Its rows.
        query_columns: The raw columns that the query models read, with their types.
        has_city: The Examples hold the purchase's city.

    Raises:
        InputError: no rows, other rows than metadata.json says, or a shard that lacks a column.
    """
    columns = {**query_columns, **FACTS, **({CITY: "string"} if has_city else {})}
    raw = part.read(columns)
    first, customer = saved_models.distinct({schema.CUSTOMER: raw[schema.CUSTOMER]})
    _, basket = saved_models.distinct({key: raw[key] for key in (schema.CUSTOMER, schema.TIMESTAMP)})
    cities, city = np.array([], object), np.zeros(len(customer), np.int64)
    if has_city:
        first_of_city, city = saved_models.distinct({CITY: raw[CITY]})
        cities = raw[CITY][first_of_city]
    return Split(
        raw={column: raw[column] for column in query_columns},
        customers=raw[schema.CUSTOMER][first],
        customer=customer,
        product=raw[schema.PRODUCT],
        time=raw[schema.TIMESTAMP],
        basket=basket,
        cities=cities,
        city=city,
    )


def places(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where each value stands among distinct ones: int64 [R], -1 (NOT_IN_CATALOGUE) where it does not.

    Args:
        values: Numbers or bytes [R].
        among: Distinct values of the same type.
    """
    import pyarrow.compute as pc

    kind = pa.int64() if values.dtype.kind == "i" else pa.binary()
    found = pc.index_in(pa.array(values, kind), pa.array(among, kind))
    return found.fill_null(-1).to_numpy().astype(np.int64)
