"""Scores of the towers: dot products of embeddings, and how to count the better ones without keeping any.

Defined as: products and sums in float64, the result rounded to float32. A sum may come out differently in its last bits
where it is added up in another order; rounding those away lets equal candidates tie on every machine, as they should.
"""

import functools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from components.common import counting

TILE_BYTES = 4 << 20  # scores that are computed and counted at a time, few enough to stay in the last level of cache
TILE_CANDIDATES = 4080  # of them
PAIRS = 4096  # scored at a time in float64
UNCLEAR = 1 << 18  # scores among which such pairs are sought at a time
UNIT = 2.0**-24  # float32 rounds to within this, relatively
TINY = float(np.finfo(np.float32).tiny)  # what is smaller may be taken for zero


class Alike(NamedTuple):
    """An order of the N candidates, int64 [N], in which order[begin[p] : end[p]] tie with the target of pair p: [P]."""

    order: np.ndarray
    begin: np.ndarray
    end: np.ndarray


class DotProducts:
    """A score block for `ranking.count_better`: float32 [b, N] from a slice of the queries.

    Args:
        queries: [U, D].
        candidates: [N, D].
    """

    def __init__(self, queries: np.ndarray, candidates: np.ndarray):
        self.queries, self.candidates = queries, candidates

    def __call__(self, block: slice | np.ndarray) -> np.ndarray:
        return self.products(block).astype(np.float32)

    def products(self, block: slice | np.ndarray) -> np.ndarray:
        """Not rounded yet: float64 [b, N]."""
        products: np.ndarray = self.queries[block].astype(np.float64) @ self._columns
        return products

    @functools.cached_property
    def _columns(self) -> np.ndarray:
        return np.ascontiguousarray(self.candidates.T, np.float64)

    @functools.cached_property
    def _reach(self) -> np.ndarray:
        """|q| max |c|, what no score of a query exceeds: float64 [U]."""
        return _norms(self.queries) * _norms(self.candidates).max()

    @property
    def countable(self) -> bool:
        """Whether `count` may be used: the embeddings are float32, finite, and no product of theirs overflows."""
        if not self.queries.dtype == self.candidates.dtype == np.float32:
            return False
        return bool(self._reach.max() < np.finfo(np.float32).max / 2)

    def count(self, query: np.ndarray, target: np.ndarray, tile_queries: int | None = None) -> np.ndarray:
        """Better and tied candidates of distinct pairs, int64 [2, P].

        Scores are computed in float32, tile by tile. Those that come so near the target's score that rounding may have
        put them on the wrong side are computed again as defined above, in an order of the sum that depends on D alone.
        So tiles, blocks and BLAS kernels make no difference.

        Args:
            query: int [P], ascending.
            target: int [P].
            tile_queries: Queries of a tile; by default as many as keep it near TILE_BYTES.
        """
        order, begin, end = alike(self.candidates)
        like = Alike(order, begin[target], end[target])
        return self._compared(query, self._exact(query, target), like, np.zeros(len(query)), tile_queries)

    def _compared(
        self, query: np.ndarray, score: np.ndarray, like: Alike, margin: np.ndarray, tile_queries: int | None
    ) -> np.ndarray:
        """How many products of each pair's query are better than a score, and how many tie: int64 [2, P].

        Args:
            query: int [P], ascending.
            score: float32 [P].
            like: The candidates that tie anyhow, the pair's target among them, which is not counted.
            margin: float64 [P], what the limits round by where the score is no product.
            tile_queries: See `count`.
        """
        order, begin, end = like
        margin = margin + self._margin()[query]
        low, high = (score - margin).astype(np.float32), (score + margin).astype(np.float32)
        counts = np.stack([np.zeros(len(query), np.int64), end - begin - 1])
        asked = counting.asked(query)
        columns = min(len(order), TILE_CANDIDATES)
        rows = min(tile_queries or max(1, TILE_BYTES // (4 * columns)), len(asked.query))
        candidates = self.candidates[order]
        kept = threading.local()

        def tile(top: int) -> None:
            """Counts for some queries, whose pairs no other call has."""
            part = asked.part(top, top + rows)
            queries = self.queries[part.query]
            if not hasattr(kept, "scores"):
                kept.scores = np.empty((rows, columns), np.float32)
            for start in range(0, len(order), columns):
                there = candidates[start : start + columns]
                scores = np.matmul(queries, there.T, out=kept.scores[: len(queries), : len(there)])
                for found in counting.counts(scores, part, low, high):
                    counts[0, found.pair] += found.above
                    equal = np.clip([begin[found.pair] - start, end[found.pair] - start], 0, len(there))
                    for pair, column in _unclear(scores, found, low, high, equal):
                        exact = self._exact(query[pair], order[start + column])
                        np.add.at(counts[0], pair, exact > score[pair])
                        np.add.at(counts[1], pair, exact == score[pair])

        # One thread a core, each with a BLAS of its own: BLAS's threads would wait in a loop while one core compares.
        with _blas().limit(limits=1), ThreadPoolExecutor(_cores()) as pool:
            list(pool.map(tile, range(0, len(asked.query), rows)))
        return counts

    def sums(self, query: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """Products of pairs, float64 [P], added up in an order that depends on D alone."""
        sums = np.empty(len(query), np.float64)
        for start in range(0, len(query), PAIRS):
            part = slice(start, start + PAIRS)
            left, right = self.queries[query[part]], self.candidates[candidate[part]]
            sums[part] = np.multiply(left, right, dtype=np.float64).sum(axis=1)
        return sums

    def _exact(self, query: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """Scores of pairs, float32 [P]."""
        return self.sums(query, candidate).astype(np.float32)

    def _margin(self) -> np.ndarray:
        """How far from a target's score the float32 score of another candidate decides, float64 [U].

        Summed in whatever order, a product is off by at most D u / (1 - D u) |q| |c| with u = 2^-24 (Higham, Accuracy
        and Stability of Numerical Algorithms, 2nd ed., section 3.1). Four more units cover the rounding of the exact
        scores and of the limits themselves; the rest is what underflow costs.
        """
        width = self.queries.shape[1]
        share = width * UNIT / (1 - width * UNIT) + 4 * UNIT
        largest = np.abs(self.queries).max() + np.abs(self.candidates).max()
        return share * self._reach + 2 * width * TINY * (1 + float(largest))


@functools.cache
def _blas() -> ThreadpoolController:
    """NumPy's BLAS, which is looked for among all libraries of the process, once."""
    return ThreadpoolController().select(user_api="blas")


def _cores() -> int:
    """Cores that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alike(candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An order that puts equal candidates [N, D] side by side, and the places where those equal to each are.

    They score alike, so there is nothing to compare. A model that gives many candidates one embedding would otherwise
    leave everything to float64.

    Returns:
        order, begin, end: int64 [N]. Candidate c is one of order[begin[c] : end[c]].
    """
    rows = np.ascontiguousarray(candidates).view(np.dtype((np.void, candidates[0].nbytes))).ravel()
    _, kind, count = np.unique(rows, return_inverse=True, return_counts=True)
    end = np.cumsum(count)
    return np.argsort(kind, kind="stable"), (end - count)[kind], end[kind]


def _unclear(
    scores: np.ndarray, found: counting.Counts, low: np.ndarray, high: np.ndarray, equal: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pair and column of the scores within the pair's limits, some at a time.

    Columns from equal[0] to equal[1], int64 [2, p], are left out: they hold the pair's target and its like.
    """
    unclear = np.flatnonzero(found.at_least - found.above != equal[1] - equal[0])
    few = max(1, UNCLEAR // scores.shape[1])
    for start in range(0, len(unclear), few):
        some = unclear[start : start + few]
        of_query, pair = scores[found.row[some]], found.pair[some]
        which, column = np.nonzero((of_query >= low[pair, None]) & (of_query <= high[pair, None]))
        others = (column < equal[0, some[which]]) | (column >= equal[1, some[which]])
        yield pair[which[others]], column[others]


def _norms(embeddings: np.ndarray) -> np.ndarray:
    """Lengths of the vectors [R, D], float64 [R]."""
    return np.sqrt(np.einsum("rd,rd->r", embeddings, embeddings, dtype=np.float64))
