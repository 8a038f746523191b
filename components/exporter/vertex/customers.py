"""Every customer of `examples/` with the features that they have last, and what they bought."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from components.common import example_set, progress, schema

COMPACTED = 1 << 22  # purchases that are gathered before those known already are left out
TYPES: dict[str, Any] = {"string": object, "int64": np.int64, "float": np.float32}


class Customers(NamedTuple):
    """Customers in the order of their ids' bytes.

    Args:
        columns: {column: [U]}, the customer's id among them.
        bought: Distinct product ids of all customers, int64 [P], one customer's beside each other; empty if not asked.
        starts: Where each customer's begin in `bought`, and the end, int64 [U + 1].
    """

    columns: dict[str, np.ndarray]
    bought: np.ndarray
    starts: np.ndarray


def latest(folder: str, columns: Mapping[str, str], with_bought: bool) -> Customers:
    """Reads all splits once. A customer's features are those of the purchase with the latest timestamp.

    Of purchases at the same second, the one counts that is read last: splits go in the order of schema.SPLITS.
    Memory grows with customers and, if asked, with their distinct products; not with purchases.

    Args:
        folder: examples/ of the DataExtractor, or shards that nobody split, local or gs://.
        columns: The features' columns, to their types.
        with_bought: Also gather what they bought.

    Raises:
        InputError: no examples, or damaged ones, or without these columns.
    """
    wanted = {**columns, schema.CUSTOMER: "string", schema.TIMESTAMP: "int64", schema.PRODUCT: "int64"}
    table, purchases = _Latest({**columns, schema.CUSTOMER: "string"}), _Purchases()
    with example_set.opened(folder) as examples:
        for split in schema.SPLITS:
            part = examples.part(split)
            with progress.shown(f"Reading {split}", part.rows or 0):
                for batch in part.batches(wanted):
                    places = table.add(batch)
                    if with_bought:
                        purchases.add(places, batch[schema.PRODUCT])
                    progress.advance(len(places))
    order = np.argsort(table.columns[schema.CUSTOMER][: table.size], kind="stable")
    bought, starts = purchases.by_customer(order)
    return Customers({name: values[: table.size][order] for name, values in table.columns.items()}, bought, starts)


class _Latest:
    """The latest row of each customer so far; arrays grow by doubling."""

    def __init__(self, columns: Mapping[str, str]):
        self.places: dict[bytes, int] = {}
        self.columns = {name: np.empty(1024, TYPES[kind]) for name, kind in columns.items()}
        self.times = np.empty(1024, np.int64)
        self._filled = 0

    @property
    def size(self) -> int:
        return len(self.places)

    def add(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Takes up a batch {column: [R]}; returns each row's customer as a place in the table, int64 [R]."""
        names, index = np.unique(batch[schema.CUSTOMER], return_inverse=True)
        known = np.array([self.places.setdefault(name, len(self.places)) for name in names.tolist()], np.int64)
        self._grow()
        # The last row of each customer, by time and then by place in the batch.
        order = np.lexsort((np.arange(len(index)), batch[schema.TIMESTAMP], index))
        last = order[np.append(np.flatnonzero(np.diff(index[order])), len(order) - 1)]
        newer = batch[schema.TIMESTAMP][last] >= self.times[known]
        for name, values in self.columns.items():
            values[known[newer]] = batch[name][last[newer]]
        self.times[known[newer]] = batch[schema.TIMESTAMP][last[newer]]
        return known[index]

    def _grow(self) -> None:
        while len(self.times) < self.size:
            self.times = np.concatenate([self.times, np.empty_like(self.times)])
            self.columns = {name: np.concatenate([old, np.empty_like(old)]) for name, old in self.columns.items()}
        self.times[self._filled : self.size] = np.iinfo(np.int64).min
        self._filled = self.size


class _Purchases:
    """Distinct pairs of customer and product."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.gathered = 0

    def add(self, places: np.ndarray, products: np.ndarray) -> None:
        pairs = np.empty(len(places), [("customer", np.int64), ("product", np.int64)])
        pairs["customer"], pairs["product"] = places, products
        self.parts.append(np.unique(pairs))
        self.gathered += len(self.parts[-1])
        if self.gathered > COMPACTED:
            self.parts, self.gathered = [np.unique(np.concatenate(self.parts))], 0

    def by_customer(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Products [P] and starts [U + 1], customers in the order of their places `order` [U]."""
        if not self.parts:
            return np.zeros(0, np.int64), np.zeros(len(order) + 1, np.int64)
        pairs = np.unique(np.concatenate(self.parts))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        customers = rank[pairs["customer"]]
        by_customer = np.argsort(customers, kind="stable")
        counts = np.bincount(customers, minlength=len(order))
        return pairs["product"][by_customer], np.concatenate([[0], np.cumsum(counts)])
