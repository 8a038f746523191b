"""What a shop knows without a model: best sellers, and what each customer keeps buying."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.common import examples, schema
from components.common.ranking import count_better
from components.evaluator.data import Split
from components.evaluator.metrics import Ranks

FOLD_ROWS = 1 << 20


class Purchases:
    """Training purchases of the split's customers, as counts per customer and product.

    Args:
        files: Local shards of the train split.
        customers: Customer ids [C], bytes.
        catalogue: Product ids [N].
    """

    def __init__(self, files: list[str], customers: np.ndarray, catalogue: np.ndarray):
        self.size = len(catalogue)
        pairs = _fold(_pairs(files, pa.array(customers), pa.array(catalogue)))
        pairs = pairs.sort_by("pair")
        pair = pairs["pair"].to_numpy()
        self.counts = pairs["count"].to_numpy()
        self.products = pair % self.size
        self.starts = np.searchsorted(pair // self.size, np.arange(len(customers) + 1))

    def of(self, customer: int) -> tuple[np.ndarray, np.ndarray]:
        """Catalogue indices and counts of what one customer bought."""
        rows = slice(self.starts[customer], self.starts[customer + 1])
        return self.products[rows], self.counts[rows]

    def dense(self, block: slice) -> np.ndarray:
        """Counts of a block of customers, float64 [b, N]."""
        counts = np.zeros((block.stop - block.start, self.size))
        rows = slice(self.starts[block.start], self.starts[block.stop])
        customer = np.repeat(np.arange(len(counts)), np.diff(self.starts[block.start : block.stop + 1]))
        counts[customer, self.products[rows]] = self.counts[rows]
        return counts

    def totals(self) -> np.ndarray:
        """Purchases per customer, int64 [C]."""
        return np.diff(np.concatenate([[0], np.cumsum(self.counts)])[self.starts])


def popularity(split: Split, counts: np.ndarray) -> Ranks:
    """Everybody is shown what sold most in training."""
    everybody = np.zeros_like(split.target)
    return Ranks(*count_better(lambda _: counts[None, :], everybody, split.target, candidates=len(counts)))


def personal_frequency(split: Split, counts: np.ndarray, purchases: Purchases) -> Ranks:
    """Everybody is shown what they bought most in training; popularity breaks ties and fills up the list."""
    share = counts / (counts.sum() + 1)  # below 1, so it never outweighs a purchase
    return Ranks(
        *count_better(
            lambda block: purchases.dense(block) + share, split.customer, split.target, candidates=len(counts)
        )
    )


def _pairs(files: list[str], customers: pa.Array, catalogue: pa.Array) -> Iterator[pa.Table]:
    columns = {schema.CUSTOMER: "string", schema.PRODUCT: "int64"}
    for batch in examples.batches(files, columns):
        customer = pc.index_in(pa.array(batch[schema.CUSTOMER], pa.binary()), customers)
        product = pc.index_in(pa.array(batch[schema.PRODUCT]), catalogue)
        pair = pc.drop_null(pc.add(pc.multiply(customer.cast(pa.int64()), len(catalogue)), product))
        yield pa.table({"pair": pair, "count": pa.array(np.ones(len(pair), np.int64))})


def _fold(tables: Iterator[pa.Table], rows: int = FOLD_ROWS) -> pa.Table:
    """Adds up the counts of equal pairs; holds the result and at most about `rows` rows besides."""
    whole = pa.table({"pair": pa.array([], pa.int64()), "count": pa.array([], pa.int64())})
    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        if sum(part.num_rows for part in pending) >= rows:
            whole, pending = _add_up([whole, *pending]), []
    return _add_up([whole, *pending])


def _add_up(tables: list[pa.Table]) -> pa.Table:
    grouped = pa.concat_tables(tables).group_by("pair").aggregate([("count", "sum")])
    return grouped.rename_columns(["pair", "count"])
