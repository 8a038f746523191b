"""Which purchases make which step: drawn by step number alone, so that a run can go on from any step.

An epoch is one pass over the items (queries, or purchases), in an order that depends on the seed and the number of the
epoch. Its last step takes what is left. No item is left out or taken twice, whatever a step holds.
Every worker draws the whole global batch and keeps its replicas' shares: negatives of all replicas need no exchange.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from components.common.errors import InputError
from trainer_image.inputs import Purchases, ranges

STEPS_PER_CALL = 16


class Batch(NamedTuple):
    """One replica's share of S steps, padded to common sizes: B queries, P pairs, C candidates.

    Attributes:
        queries: {feature key: int32 [S, B] or float32 [S, B, width]}.
        pair_query: int32 [S, P], which of the B queries.
        pair_candidate: int32 [S, P], which of the candidates.
        pair_count: float32 [S, P], how many purchases; 0 where padded.
        candidates: int32 [S, C], indices of the catalogue. Empty for the full catalogue, whose indices
            pair_candidate then holds.
        candidate_count: float32 [S, C], purchases of each in the global batch; 0 where padded.
    """

    queries: dict[str, np.ndarray]
    pair_query: np.ndarray
    pair_candidate: np.ndarray
    pair_count: np.ndarray
    candidates: np.ndarray
    candidate_count: np.ndarray


class Sampler:
    """Draws batches. Its numbers say what a step and an epoch are.

    Attributes:
        items: What is drawn: queries for the full catalogue, else purchases.
        per_step: Items that all replicas together take in a step, which is fewer in the last step of an epoch.
        steps_per_epoch: Steps in which every item is taken once.
        expected_rows: Purchases of `per_step` items, in expectation: in training the loss is divided by it.
    """

    def __init__(self, purchases: Purchases, loss: str, batch_size: int, replicas: int, seed: int):
        self.purchases, self.replicas, self.seed = purchases, replicas, seed
        self.whole_queries = loss == "full-catalogue"
        rows = purchases.rows
        if self.whole_queries:
            self.items = purchases.groups
            self.per_step = queries_per_step(rows, purchases.groups, batch_size * replicas)
        else:
            self.items, self.per_step = rows, batch_size * replicas
            self.row_splits = np.concatenate([[0], np.cumsum(purchases.times, dtype=np.int64)])
        self.steps_per_epoch = -(-self.items // self.per_step)
        self.expected_rows = self.per_step * rows / self.items
        self.order = np.zeros(0, np.int64)
        self.ordered = -1  # the epoch whose order that is

    @property
    def per_replica(self) -> int:
        """The most items that a replica takes in a step."""
        return -(-self.per_step // self.replicas)

    def draw(self, first: int, steps: int, replicas: list[int]) -> list[Batch]:
        """The shares of `replicas` in steps first to first + steps."""
        chosen = [self._items(step) for step in range(first, first + steps)]
        if self.whole_queries:
            none = np.zeros((steps, 0))
            shares = [np.array_split(items, self.replicas) for items in chosen]
            return [self._pad([self._of_queries(share[r]) for share in shares], none, none) for r in replicas]
        parts = [self._of_purchases(items, replicas) for items in chosen]
        candidates = stacked([part[0] for part in parts], np.int32)
        counts = stacked([part[1] for part in parts], np.float32)
        return [self._pad([part[2][i] for part in parts], candidates, counts) for i in range(len(replicas))]

    def candidates_seen(self, products: int) -> int:
        """The most products that a step embeds."""
        return products if self.whole_queries else min(products, self.per_step)

    def _items(self, step: int) -> np.ndarray:
        """The items of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self.ordered:
            items = np.arange(self.items, dtype=np.int32 if self.items < 2**31 else np.int64)
            self.order = np.random.default_rng([self.seed, epoch]).permutation(items)
            self.ordered = epoch
        return self.order[place * self.per_step :][: self.per_step]

    def _of_queries(self, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
        """Queries and pairs of whole queries: (query [B], place [P], product [P], count [P])."""
        starts = self.purchases.splits[chosen]
        lengths = self.purchases.splits[chosen + 1] - starts
        pairs = ranges(starts, lengths)
        place = np.repeat(np.arange(len(chosen)), lengths)
        return chosen, place, self.purchases.product[pairs], self.purchases.times[pairs]

    def _of_purchases(self, chosen: np.ndarray, replicas: list[int]) -> tuple[np.ndarray, np.ndarray, list]:
        """The candidates of a step, how often each was bought in it, and every replica's queries and pairs."""
        pairs = np.searchsorted(self.row_splits, chosen, side="right") - 1
        candidates, candidate, counts = np.unique(
            self.purchases.product[pairs], return_inverse=True, return_counts=True
        )
        pairs_of, candidate_of = (np.array_split(values, self.replicas) for values in (pairs, candidate))
        shares = []
        for replica in replicas:
            group = np.searchsorted(self.purchases.splits, pairs_of[replica], side="right") - 1
            queries, place = np.unique(group, return_inverse=True)
            key, count = np.unique(place * len(candidates) + candidate_of[replica], return_counts=True)
            shares.append((queries, key // len(candidates), key % len(candidates), count))
        return candidates, counts, shares

    def _pad(self, parts: list[tuple[np.ndarray, ...]], candidates: np.ndarray, counts: np.ndarray) -> Batch:
        query, place, product, count = (
            stacked([part[i] for part in parts], kind)
            for i, kind in enumerate((np.int64, np.int32, np.int32, np.float32))
        )
        queries = {key: column[query] for key, column in self.purchases.queries.items()}
        return Batch(queries, place, product, count, candidates.astype(np.int32), counts.astype(np.float32))


def queries_per_step(rows: int, groups: int, batch_rows: int) -> int:
    """Queries that stand for a global batch of purchases: as many as hold them on average, rounded up."""
    return min(groups, -(-batch_rows * groups // rows))


def stacked(parts: list[np.ndarray], kind: type) -> np.ndarray:
    """[len(parts), n], the parts padded with 0 to a common length of three significant bits.

    The length depends on the parts alone, not on what came before: a resumed run adds up in the same order.
    """
    longest = max(1, *(len(part) for part in parts))  # a replica may have no share in the last step
    grain = max(1 << max(longest.bit_length() - 3, 0), 1)
    whole: np.ndarray = np.zeros((len(parts), -(-longest // grain) * grain), kind)
    for row, part in zip(whole, parts, strict=True):
        row[: len(part)] = part
    return whole


def expect_a_batch(rows: int, batch_size: int, replicas: int) -> None:
    """Raises InputError where a global batch is larger than the training data."""
    if batch_size * replicas > rows:
        found = f"{batch_size} rows a replica, {replicas} replicas"
        expected = f"at most the {rows} training rows in all"
        raise InputError("--batch-size", found, expected, "Choose a smaller batch.")


class Chunk(NamedTuple):
    """Steps to train in one call: how many, every local replica's share, and how long the device waited for them."""

    steps: int
    shares: list[Batch]
    waited: float


@contextmanager
def prefetched(
    draw: Callable[[int, int], list[Batch]], first: int, last: int, per_epoch: int
) -> Iterator[Iterator[Chunk]]:
    """Chunks of steps first to last, drawn by a thread ahead of the training.

    A chunk ends with its epoch, and otherwise holds STEPS_PER_CALL steps counted from the epoch's start, so a run that
    begins between two chunks sees the same ones.
    """
    ready: queue.Queue[tuple[int, list[Batch]] | BaseException | None] = queue.Queue(maxsize=2)
    ended = threading.Event()

    def put(item: tuple[int, list[Batch]] | BaseException | None) -> None:
        while not ended.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        step = first
        try:
            while step < last and not ended.is_set():
                steps = min(STEPS_PER_CALL - step % per_epoch % STEPS_PER_CALL, per_epoch - step % per_epoch)
                put((steps, draw(step, steps)))
                step += steps
            put(None)
        except BaseException as error:  # the training thread raises it
            put(error)

    def chunks() -> Iterator[Chunk]:
        while True:
            started = time.perf_counter()
            item = ready.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield Chunk(*item, time.perf_counter() - started)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield chunks()
    finally:
        ended.set()
        thread.join()
