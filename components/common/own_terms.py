"""Own terms: what a model with a history adds to the scores of a customer's own products, those bought before.

    score(u, i) = float32(float64(q(u)) · float64(p(i)) + float64(own(u, i)))

They are few of a catalogue, so they are kept by query, as rows of a sparse matrix.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np


class OwnTerms(NamedTuple):
    """The terms of U queries, in CSR: query u has those from starts[u] to starts[u + 1], in the order of the places."""

    starts: np.ndarray  # int64 [U + 1]
    places: np.ndarray  # int64 [T], in the catalogue; distinct for each query
    scores: np.ndarray  # float32 [T]

    @classmethod
    def of_rows(cls, places: np.ndarray, scores: np.ndarray) -> Self:
        """Of rows that are filled up.

        Args:
            places: int64 [U, H], distinct in a row, negative where there is none.
            scores: float32 [U, H].
        """
        row, column = np.nonzero(places >= 0)
        order = np.lexsort((places[row, column], row))
        row, column = row[order], column[order]
        starts = np.searchsorted(row, np.arange(len(places) + 1))
        return cls(starts.astype(np.int64), places[row, column], scores[row, column])

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """The terms of some queries after those of others."""
        parts = list(parts)
        counts = [np.diff(part.starts) for part in parts]
        starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
        return cls(
            starts, np.concatenate([part.places for part in parts]), np.concatenate([part.scores for part in parts])
        )

    def find(self, queries: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The terms of queries, a slice or int [b]: for each the row among the b, and its number, both int64."""
        first, stop = self.starts[:-1][queries], self.starts[1:][queries]
        counts = stop - first
        row: np.ndarray = np.repeat(np.arange(len(counts)), counts)
        return row, np.arange(len(row)) + (first - np.cumsum(counts) + counts)[row]

    def take(self, queries: slice | np.ndarray) -> Self:
        """The terms of queries, a slice or int [b], as terms of b queries."""
        row, term = self.find(queries)
        starts = np.searchsorted(row, np.arange(len(self.starts[:-1][queries]) + 1)).astype(np.int64)
        return type(self)(starts, self.places[term], self.scores[term])

    def moved(self, places: np.ndarray) -> Self:
        """The same in another catalogue: `places`, int64 [N], has each product's place there, negative for none."""
        kept = places[self.places] >= 0
        query = self.queries[kept]
        moved = places[self.places[kept]]
        order = np.lexsort((moved, query))
        starts = np.searchsorted(query, np.arange(len(self.starts))).astype(np.int64)
        return type(self)(starts, moved[order], self.scores[kept][order])

    def add(self, scores: np.ndarray, queries: slice | np.ndarray) -> None:
        """Adds the terms of queries, a slice or int [b], to their scores, float64 [b, N]."""
        row, term = self.find(queries)
        scores[row, self.places[term]] += self.scores[term]

    @property
    def queries(self) -> np.ndarray:
        """The query of each term, int64 [T]."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def largest(self, queries: slice | np.ndarray) -> np.ndarray:
        """The largest size of a term of each query, a slice or int [b]; 0 without any: float64 [b]."""
        row, term = self.find(queries)
        sizes = np.zeros(len(self.starts[:-1][queries]))
        np.maximum.at(sizes, row, np.abs(self.scores[term]))
        return sizes
