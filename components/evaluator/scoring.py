"""Scorers, and what one did on a split: exact ranks of every row, and a list for every customer."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from components.common.ranking import BLOCK_BYTES, count_better, expect_finite, recall
from components.evaluator.data import Split

SHOWN = 10  # products in a customer's list
MOST_LISTS = 20_000  # customers whose lists are made; of more, a sample


Scores = Callable[[slice | np.ndarray], np.ndarray]  # from queries, a slice or their numbers, to float [b, N]


class Scorer(NamedTuple):
    """Something that scores a catalogue of N products."""

    scores: Scores
    query: np.ndarray  # int64 [R], the query of each row
    target: np.ndarray  # int64 [R], the row's product in its catalogue, or NOT_IN_CATALOGUE
    sold: np.ndarray  # float64 [N], known purchases of its products


class Scored(NamedTuple):
    """What metrics are made of."""

    split: Split
    ks: tuple[int, ...]  # cut-offs of Recall@k
    better: np.ndarray  # int64 [R], products that score above the row's own; see ranking.count_better
    tied: np.ndarray  # int64 [R], others that score the same
    sold: np.ndarray  # float64 [N], known purchases of each product
    listed: np.ndarray  # int64 [L], the customers whose lists were made
    lists: np.ndarray  # int64 [L, k], their first k = SHOWN products, best first
    taste: np.ndarray  # float64 [C], mean popularity of what each customer bought, in known purchases; NaN for nothing


def score(scorer: Scorer, split: Split, ks: tuple[int, ...], taste: np.ndarray) -> Scored:
    """Ranks every row's product, and makes the customers' lists from the queries of their earliest rows.

    Args:
        scorer: What gives the scores.
        split: The rows.
        ks, taste: See Scored.
    """
    candidates = len(scorer.sold)
    better, tied = count_better(scorer.scores, scorer.query, scorer.target, candidates=candidates)
    first = split.first_row
    listed = np.arange(len(first))
    if len(listed) > MOST_LISTS:
        listed = np.sort(np.random.default_rng(0).choice(listed, MOST_LISTS, replace=False))
    lists = top(scorer.scores, scorer.query[first[listed]], candidates)
    return Scored(split, ks, better, tied, scorer.sold, listed, lists, taste)


def top(scores: Scores, queries: np.ndarray, candidates: int, k: int = SHOWN) -> np.ndarray:
    """The first k candidates of each query, best first; equal scores in the order of the catalogue.

    Args:
        scores: See Scorer.
        queries: int [L], in any order, repeated or not.
        candidates: N.
        k: How many; all N where there are fewer.

    Returns:
        int64 [L, min(k, N)].
    """
    k = min(k, candidates)
    distinct, place = np.unique(queries, return_inverse=True)
    lists = np.empty((len(distinct), k), np.int64)
    block_rows = max(1, BLOCK_BYTES // (8 * candidates))
    for start in range(0, len(distinct), block_rows):
        block = scores(distinct[start : start + block_rows])
        expect_finite(block, start)
        for number, row in enumerate(block, start):
            least = np.partition(row, candidates - k)[candidates - k]
            found = np.flatnonzero(row >= least)  # more than k where several tie with the kth
            lists[number] = found[np.argsort(-row[found], kind="stable")[:k]]
    return lists[place]


def mean_gain(scored: Scored, gain: np.ndarray) -> np.ndarray:
    """What each row's place is worth, in expectation over the order of equal scores.

    With b better and t tied candidates a product takes each of the places b + 1 .. b + t + 1 with equal chance.

    Args:
        scored: Ranks.
        gain: float64 [N], what place 1, 2, … N is worth; a product outside the catalogue is worth nothing.

    Returns:
        float64 [R].
    """
    running = np.concatenate([[0.0], np.cumsum(gain, dtype=np.float64)])
    last = len(gain)
    begin, end = np.minimum(scored.better, last), np.minimum(scored.better + scored.tied + 1, last)
    return (running[end] - running[begin]) / (scored.tied + 1)


def recall_curve(scored: Scored, ks: Iterable[int]) -> list[float]:
    """Mean Recall@k over the rows, for every k asked for."""
    return [float(recall(scored.better, scored.tied, k).mean()) for k in ks]


def popularity_tenth(sold: np.ndarray) -> np.ndarray:
    """The tenth of the catalogue that each product is in, 0 for the most-bought one; int64 [N].

    Ties are cut in the order of the catalogue. With fewer than ten products some tenths are empty.
    """
    place = np.empty(len(sold), np.int64)
    place[np.argsort(-sold, kind="stable")] = np.arange(len(sold))
    return place * 10 // len(sold)
