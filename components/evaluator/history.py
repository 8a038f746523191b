"""What was bought before: by each customer, in each city and in all, and whether a row repeats a purchase."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.common import schema
from components.common.errors import InputError
from components.common.example_part import Part
from components.common.ranking import NOT_IN_CATALOGUE
from components.evaluator import data
from components.evaluator.data import CITY, FACTS, Split

COUNTED = {schema.CUSTOMER: "string", schema.PRODUCT: "int64"}
CHUNK_ROWS = 1 << 20  # looked up at a time: each lookup hashes all customers again


class Purchases:
    """Known purchases as counts per owner, a customer or a city, and product.

    Args:
        pairs: Columns owner, product (a catalogue index) and count; every pair once.
        owners: How many owners there are.
        size: Products of the catalogue, N.
    """

    def __init__(self, pairs: pa.Table, owners: int, size: int):
        pairs = pairs.sort_by("pair")
        pair = pairs["pair"].to_numpy()
        self.size = size
        self.counts = pairs["count"].to_numpy()
        self.products = pair % size
        self.starts = np.searchsorted(pair // size, np.arange(owners + 1))

    def of(self, owner: int) -> tuple[np.ndarray, np.ndarray]:
        """Catalogue indices and counts of what one owner bought."""
        rows = slice(self.starts[owner], self.starts[owner + 1])
        return self.products[rows], self.counts[rows]

    def dense(self, owners: slice | np.ndarray) -> np.ndarray:
        """Counts of some owners, float64 [b, N]."""
        begin, end = self.starts[:-1][owners], self.starts[1:][owners]
        counts = np.zeros((len(begin), self.size))
        owner = np.repeat(np.arange(len(begin)), end - begin)
        rows = np.arange(len(owner)) + np.repeat(begin - np.cumsum(end - begin) + (end - begin), end - begin)
        counts[owner, self.products[rows]] = self.counts[rows]
        return counts

    def totals(self) -> np.ndarray:
        """Purchases per owner, int64 [owners]."""
        return self.sums(np.ones(self.size)).astype(np.int64)

    def sums(self, of_product: np.ndarray) -> np.ndarray:
        """Per owner the sum of a figure of the products bought, each as often as it was: float64 [owners]."""
        running = np.concatenate([[0.0], np.cumsum(self.counts * of_product[self.products])])
        return np.diff(running[self.starts])


class Later(NamedTuple):
    """What was bought in splits that the model knows beyond training."""

    customers: np.ndarray  # bytes [C], distinct
    product: np.ndarray  # int64 [P], distinct ids
    times: np.ndarray  # int64 [P], how often each was bought

    def sold(self, catalogue: np.ndarray) -> np.ndarray:
        """Purchases of each product of a catalogue: float64 [N]."""
        return np.append(self.times, 0.0)[data.places(catalogue, self.product)]  # place -1, of none, is the 0


class History(NamedTuple):
    """What the split's rows can be compared with."""

    by_customer: Purchases  # of the split's customers [C] first, then of all others that are known
    by_city: Purchases  # of the split's cities
    repeat: np.ndarray  # bool [R]: the customer had bought the row's product at an earlier time, in whatever split


def later(parts: Sequence[Part]) -> Later:
    """Reads these rows; there may be none."""
    customers: set[bytes] = set()
    sold: Counter[int] = Counter()
    for batch in (batch for part in parts for batch in _chunks(part, COUNTED)):
        distinct = pc.unique(pa.array(batch[schema.CUSTOMER], pa.binary()))
        customers.update(cast(list[bytes], distinct.to_pylist()))
        products, times = np.unique(batch[schema.PRODUCT], return_counts=True)
        sold.update(dict(zip(products.tolist(), times.tolist(), strict=True)))
    return Later(
        np.array(sorted(customers), object), np.array(list(sold), np.int64), np.array(list(sold.values()), np.int64)
    )


def read(
    parts: dict[str, Part], split: Split, customers: np.ndarray, catalogue: np.ndarray, known: tuple[str, ...]
) -> History:
    """Reads what came before the split's rows.

    Args:
        parts: The rows of all three splits, by split.
        split: The rows.
        customers: All customers of the known splits, as bytes.
        catalogue: Product ids [N].
        known: The splits whose purchases are known when the rows are ranked.
    """
    new = data.places(customers, split.customers) == NOT_IN_CATALOGUE
    owners = np.concatenate([split.customers, customers[new]])
    has_city = bool(len(split.cities))
    firsts = _FirstTimes(split)
    folds = {"customer": _Fold(), "city": _Fold()}
    for name, part in parts.items():
        columns = {**FACTS, CITY: "string"} if has_city and name in known else FACTS
        for batch in _chunks(part, columns):
            firsts.see(batch)
            if name in known:
                product = data.places(batch[schema.PRODUCT], catalogue)
                folds["customer"].add(data.places(batch[schema.CUSTOMER], owners), product, len(catalogue))
                if has_city:
                    folds["city"].add(data.places(batch[CITY], split.cities), product, len(catalogue))
    by_customer = folds["customer"].total
    if not by_customer.num_rows:
        found = "no purchase of a product of the model's catalogue"
        raise InputError(parts["train"].where, found, "the purchases that it was trained on", "Use its own examples.")
    return History(
        by_customer=Purchases(by_customer, len(owners), len(catalogue)),
        by_city=Purchases(folds["city"].total, len(split.cities), len(catalogue)),
        repeat=firsts.of_rows() < split.time,
    )


class _FirstTimes:
    """The earliest time at which each of a split's customers bought each of the products that they buy in it."""

    def __init__(self, split: Split):
        self.customers = split.customers
        self.products, product = np.unique(split.product, return_inverse=True)
        self.pairs, self.pair_of_row = np.unique(split.customer * len(self.products) + product, return_inverse=True)
        self.times = np.full(len(self.pairs), np.iinfo(np.int64).max)

    def see(self, batch: dict[str, np.ndarray]) -> None:
        customer = data.places(batch[schema.CUSTOMER], self.customers)
        product = data.places(batch[schema.PRODUCT], self.products)
        known = np.flatnonzero((customer >= 0) & (product >= 0))
        pair = customer[known] * len(self.products) + product[known]
        place = np.searchsorted(self.pairs, pair).clip(max=len(self.pairs) - 1)
        asked = self.pairs[place] == pair
        np.minimum.at(self.times, place[asked], batch[schema.TIMESTAMP][known][asked])

    def of_rows(self) -> np.ndarray:
        return self.times[self.pair_of_row]


class _Fold:
    """Adds up the counts of equal pairs; what is new is merged when there is as much of it as of the old."""

    def __init__(self) -> None:
        self.tables = [pa.table({"pair": pa.array([], pa.int64()), "count": pa.array([], pa.int64())})]

    def add(self, owner: np.ndarray, product: np.ndarray, size: int) -> None:
        """Counts one purchase each; those of an unknown owner or product are left out."""
        pair = (owner * size + product)[(owner >= 0) & (product >= 0)]
        self.tables.append(pa.table({"pair": pair, "count": np.ones(len(pair), np.int64)}))
        if sum(table.num_rows for table in self.tables[1:]) >= self.tables[0].num_rows:
            self.tables = [self.total]

    @property
    def total(self) -> pa.Table:
        grouped = pa.concat_tables(self.tables).group_by("pair").aggregate([("count", "sum")])
        return grouped.rename_columns(["pair", "count"])


def _chunks(part: Part, columns: Mapping[str, str]) -> Iterator[dict[str, np.ndarray]]:
    """The rows, CHUNK_ROWS and some at a time."""
    pending: list[dict[str, np.ndarray]] = []
    for batch in part.batches(columns):
        pending.append(batch)
        if sum(len(rows[schema.PRODUCT]) for rows in pending) >= CHUNK_ROWS:
            yield _joined(pending)
            pending = []
    if pending:
        yield _joined(pending)


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
