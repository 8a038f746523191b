"""Scores of a model with a history: dot products of the towers, and own terms beside them."""

import functools

import numpy as np

from components.common.dot_products import UNIT, Alike, DotProducts, alike
from components.common.own_terms import OwnTerms

COMPARED = 1 << 20  # own terms that are compared with pairs at a time


class OwnScores(DotProducts):
    """A score block for `ranking.count_better`: float32 [b, N] from a slice of the queries.

    A score is the product in float64 and the own term, added and rounded to float32: see `own_terms`.

    Args:
        queries: [U, D].
        candidates: [N, D].
        own: The terms of the U queries.
    """

    def __init__(self, queries: np.ndarray, candidates: np.ndarray, own: OwnTerms):
        super().__init__(queries, candidates)
        self.own = own

    def __call__(self, block: slice | np.ndarray) -> np.ndarray:
        scores = self.products(block)
        self.own.add(scores, block)
        return scores.astype(np.float32)

    @property
    def countable(self) -> bool:
        if not super().countable:
            return False
        largest = float(np.abs(self.own.scores).max(initial=0))
        return bool(self._reach.max() + largest < np.finfo(np.float32).max / 2)

    @functools.cached_property
    def _of_terms(self) -> tuple[np.ndarray, np.ndarray]:
        """Every term's score without and with it, float32 [T]."""
        products = self.sums(self.own.queries, self.own.places)
        return products.astype(np.float32), (products + self.own.scores).astype(np.float32)

    def count(self, query: np.ndarray, target: np.ndarray, tile_queries: int | None = None) -> np.ndarray:
        """Better and tied candidates of distinct pairs, int64 [2, P].

        As if there were no terms, all candidates' products are compared with the target's score; then those of the
        query's own products are taken back, and their scores compared in their place.

        Args:
            query: int [P], ascending.
            target: int [P].
            tile_queries: See DotProducts.
        """
        sums, is_own = self.sums(query, target), np.zeros(len(query), bool)
        term, found = self._term(query, target)
        sums[found] += self.own.scores[term[found]]
        is_own[found] = True
        score = sums.astype(np.float32)
        order, begin, end = alike(self.candidates)
        # A target with a term does not score as those of its embedding do.
        begin, end = np.where(is_own, 0, begin[target]), np.where(is_own, 0, end[target])
        counts = self._compared(query, score, Alike(order, begin, end), 4 * UNIT * np.abs(score), tile_queries)
        counts[1, is_own] += 1  # no other one was taken for the target itself
        stops = np.cumsum(np.diff(self.own.starts)[query])
        start = 0
        while start < len(query):
            done = stops[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(stops, done + COMPARED, "right")))
            part = slice(start, stop)
            counts[:, part] += self._corrections(query[part], target[part], score[part])
            start = stop
        return counts

    def _corrections(self, query: np.ndarray, target: np.ndarray, score: np.ndarray) -> np.ndarray:
        """What the own products of the pairs' queries change, int64 [2, p]."""
        pair, term = self.own.find(query)
        without, with_term = (values[term] for values in self._of_terms)
        limit, others = score[pair], self.own.places[term] != target[pair]
        better = ((with_term > limit) & others).astype(np.int64) - (without > limit)
        tied = ((with_term == limit) & others).astype(np.int64) - (without == limit)
        changes = [np.bincount(pair, change, len(query)) for change in (better, tied)]
        return np.stack(changes).astype(np.int64)

    def _term(self, query: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The number of each pair's term, int64 [P], and whether there is one, bool [P]."""
        width = len(self.candidates)
        keys = self.own.queries * width + self.own.places
        asked = np.asarray(query, np.int64) * width + target
        term = np.searchsorted(keys, asked)
        found = term < len(keys)
        found[found] = keys[term[found]] == asked[found]
        return term, found
