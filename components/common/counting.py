"""How many scores lie above a target's: the inner loop of every ranking.

A query with many targets is sorted; those with few are counted, the nth target of every query together.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Sorting N scores takes log2(N) comparisons each, counting the better ones takes one for each target. As measured,
# sorting is cheaper from about 30 targets on for 1,500 candidates and 25 for 30,000 where NumPy sorts with AVX2, from
# 45 and 100 on an AMD EPYC with AVX-512.
SORT_FROM = 3.0  # times log2(N), the targets above which a query is sorted


class Asked(NamedTuple):
    """The queries that rows ask for, each array [A], those with most targets first.

    Any slice of them has its queries with an nth target in front.

    Attributes:
        query: Its number.
        first: The number of its first pair; the others follow it.
        targets: How many pairs it has.
    """

    query: np.ndarray
    first: np.ndarray
    targets: np.ndarray

    def part(self, start: int, stop: int) -> "Asked":
        return Asked(*(column[start:stop] for column in self))


class Counts(NamedTuple):
    """Of some pairs, each array [p]: the row of the scores, the pair, and how many of the row's scores are beyond.

    Attributes:
        row, pair: Their numbers.
        above: Scores greater than the pair's `high`.
        at_least: Scores not less than its `low`.
    """

    row: np.ndarray
    pair: np.ndarray
    above: np.ndarray
    at_least: np.ndarray


def asked(query: np.ndarray) -> Asked:
    """Groups pairs by their query, int [P], ascending."""
    first: np.ndarray = np.flatnonzero(np.diff(query, prepend=-1))
    targets = np.diff(first, append=len(query))
    order = np.argsort(-targets, kind="stable")
    return Asked(query[first[order]], first[order], targets[order])


def counts(scores: np.ndarray, queries: Asked, low: np.ndarray, high: np.ndarray) -> Iterator[Counts]:
    """Compares the scores of each query with all its pairs' limits.

    Args:
        scores: [b, n], a row for each of the queries.
        queries: b of them.
        low, high: Limits of every pair [P], of the scores' dtype.

    Yields:
        Every pair of the queries once.
    """
    many = int(np.count_nonzero(queries.targets > SORT_FROM * np.log2(scores.shape[1])))
    if many:
        yield _by_sorting(scores, queries.part(0, many), low, high)
    first, targets = queries.first[many:], queries.targets[many:]
    for nth in range(targets[0] if len(targets) else 0):
        row: np.ndarray = np.arange(np.count_nonzero(targets > nth))
        pair = first[row] + nth
        of_query = scores[many : many + len(row)]
        above = _count_true(np.greater, of_query, high[pair])
        yield Counts(many + row, pair, above, _count_true(np.greater_equal, of_query, low[pair]))


def _by_sorting(scores: np.ndarray, queries: Asked, low: np.ndarray, high: np.ndarray) -> Counts:
    """All pairs of the queries, whose scores are the first rows."""
    stops = np.cumsum(queries.targets)
    row = np.repeat(np.arange(len(stops)), queries.targets)
    pair = np.arange(len(row)) + (queries.first - stops + queries.targets)[row]
    above, at_least = np.empty((2, len(row)), np.int64)
    for of_query, start, stop in zip(scores, stops - queries.targets, stops, strict=False):
        ascending, part = np.sort(of_query), slice(start, stop)
        above[part] = len(ascending) - ascending.searchsorted(high[pair[part]], "right")
        at_least[part] = len(ascending) - ascending.searchsorted(low[pair[part]], "left")
    return Counts(row, pair, above, at_least)


def _count_true(compare: np.ufunc, scores: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """How many scores of each row [b, n] compare true with the row's own limit [b]: int64 [b].

    Flags are added eight at a time, as the bytes of one integer, in parts whose sums still fit a byte. It takes a
    seventh of the time of `np.count_nonzero` with an axis.
    """
    rows, columns = scores.shape
    parts = -(-columns // (255 * 8))
    words = -(-columns // (parts * 8))
    flags = np.empty((rows, parts * words * 8), np.bool_)
    flags[:, columns:] = False
    with np.errstate():  # restores the buffer's size
        np.setbufsize(16)  # a larger one makes NumPy copy short rows together first, for twice the time of comparing
        compare(scores, limit[:, None], out=flags[:, :columns])
    sums = flags.view(np.uint64).reshape(rows, parts, words).sum(axis=2)
    return sums.view(np.uint8).sum(axis=1, dtype=np.int64)
