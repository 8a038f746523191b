"""Ranks by dot products and own terms, against a full matrix of scores in NumPy."""

import numpy as np
import pytest

from components.common import own_scores, ranking
from components.common.errors import InputError
from components.common.own_scores import OwnScores
from components.common.own_terms import OwnTerms
from components.common.ranking import NOT_IN_CATALOGUE, count_better, embedding_scores


def csr(terms: np.ndarray) -> OwnTerms:
    """Of a dense table, NaN where there is none: float [U, N]."""
    rows = [np.flatnonzero(~np.isnan(row)) for row in terms]
    starts = np.cumsum([0, *map(len, rows)])
    return OwnTerms(
        starts, np.concatenate(rows), np.concatenate([terms[u, row] for u, row in enumerate(rows)]).astype("f4")
    )


def by_hand(queries: np.ndarray, candidates: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """The definition, product by product in the order of D."""
    scores = np.zeros(terms.shape)
    for d in range(queries.shape[1]):
        scores += np.outer(queries[:, d].astype("f8"), candidates[:, d].astype("f8"))
    found: np.ndarray = (scores + np.nan_to_num(terms.astype("f4")).astype("f8")).astype("f4")
    return found


def ranks(scores: np.ndarray, query: np.ndarray, target: np.ndarray) -> tuple[list[int], list[int]]:
    own = scores[query, target][:, None]
    better, tied = (scores[query] > own).sum(axis=1), (scores[query] == own).sum(axis=1) - 1
    unknown = target == NOT_IN_CATALOGUE
    return np.where(unknown, ranking.UNRANKED, better).tolist(), np.where(unknown, 0, tied).tolist()


def world(seed: int, whole: bool, size: float, share: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries, candidates of which many are alike, and terms."""
    rng = np.random.default_rng(seed)
    queries, candidates = rng.normal(size=(30, 6)), rng.normal(size=(70, 6))
    terms = size * rng.normal(size=(30, 70))
    if whole:
        queries, candidates, terms = np.round(queries), np.round(candidates), np.round(terms)
    candidates[40:] = candidates[rng.integers(0, 20, 30)]
    terms[rng.random(terms.shape) > share] = np.nan
    terms[5] = np.nan
    return queries.astype("f4"), candidates.astype("f4"), terms


@pytest.mark.parametrize("size", [0.0, 1e-6, 1.0, 50.0, 1e8])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("compared", [1, 100, 1 << 20])
def test_ranks_with_ties(size: float, whole: bool, compared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets with a term and without, terms of zero among them, of all sizes beside the products."""
    monkeypatch.setattr(own_scores, "COMPARED", compared)
    queries, candidates, terms = world(1, whole, size)
    rng = np.random.default_rng(2)
    query, target = rng.integers(0, 30, 900), rng.integers(-1, 70, 900)
    scores = embedding_scores(queries, candidates, csr(terms))
    assert isinstance(scores, OwnScores)
    assert scores.countable
    expected = by_hand(queries, candidates, terms)
    np.testing.assert_array_equal(scores(slice(3, 9)), expected[3:9])
    np.testing.assert_array_equal(scores(np.array([8, 1])), expected[[8, 1]])
    better, tied = count_better(scores, query, target, candidates=70)
    assert (better.tolist(), tied.tolist()) == ranks(expected, query, target)
    if whole and size <= 1:
        assert tied.max() > 5


@pytest.mark.parametrize("block_rows", [1, 7, None])
def test_tiles_make_no_difference_nor_does_the_slow_way(block_rows: int | None) -> None:
    queries, candidates, terms = world(3, True, 1.0)
    scores = embedding_scores(queries, candidates, csr(terms))
    rng = np.random.default_rng(4)
    query, target = rng.integers(0, 30, 500), rng.integers(0, 70, 500)
    expected = [found.tolist() for found in count_better(lambda block: scores(block), query, target, candidates=70)]
    found = count_better(scores, query, target, candidates=70, block_rows=block_rows)
    assert [part.tolist() for part in found] == expected


def test_without_any_term_it_is_the_dot_products() -> None:
    queries, candidates, terms = world(5, True, 1.0, share=0.0)
    query, target = np.repeat(np.arange(30), 70), np.tile(np.arange(70), 30)
    with_none = count_better(embedding_scores(queries, candidates, csr(terms)), query, target, candidates=70)
    without = count_better(embedding_scores(queries, candidates), query, target, candidates=70)
    np.testing.assert_array_equal(with_none, without)


def test_a_term_lifts_by_less_than_float32_can_tell_of_the_product() -> None:
    """2^24 + 1 is no float32: only the sum is rounded, so a half more tells two products apart."""
    queries, candidates = np.array([[1, 1]], "f4"), np.array([[2**24, 1], [2**24, 0], [2**24, 2]], "f4")
    terms = np.array([[1.0, np.nan, np.nan]])
    better, tied = count_better(
        embedding_scores(queries, candidates, csr(terms)), np.zeros(3, int), np.arange(3), candidates=3
    )
    assert (better.tolist(), tied.tolist()) == ([0, 2, 0], [1, 0, 1])


def test_terms_that_are_too_large_to_compare_in_float32_are_compared_all_the_same() -> None:
    largest = float(np.finfo("f4").max)
    scores = embedding_scores(np.ones((1, 1), "f4"), np.ones((3, 1), "f4"), csr(np.array([[np.nan, largest, 0.0]])))
    assert not scores.countable
    better, tied = count_better(scores, np.zeros(3, int), np.arange(3), candidates=3)
    assert (better.tolist(), tied.tolist()) == ([1, 0, 1], [1, 0, 1])


def test_a_sum_that_is_not_finite_is_refused() -> None:
    largest = float(np.finfo("f4").max)
    scores = embedding_scores(np.full((1, 1), largest, "f4"), np.ones((2, 1), "f4"), csr(np.array([[np.nan, largest]])))
    with np.errstate(over="ignore"), pytest.raises(InputError, match="query 0 and candidate 1: found inf"):
        count_better(scores, np.zeros(2, int), np.arange(2), candidates=2)


def test_terms_of_rows() -> None:
    own = OwnTerms.of_rows(np.array([[4, -1, 2], [-1, -1, -1], [0, 9, 1]]), np.array([[4, 0, 2], [0, 0, 0], [0, 9, 1]]))
    assert [part.tolist() for part in own] == [[0, 2, 2, 5], [2, 4, 0, 1, 9], [2, 4, 0, 1, 9]]
    assert own.largest(slice(None)).tolist() == [4, 0, 9]
    taken = own.take(np.array([2, 0, 1, 2]))
    assert [part.tolist() for part in taken] == [[0, 3, 5, 5, 8], [0, 1, 9, 2, 4, 0, 1, 9], [0, 1, 9, 2, 4, 0, 1, 9]]
    assert [part.tolist() for part in OwnTerms.joined([own, own.take(slice(0, 1))])] == [
        [0, 2, 2, 5, 7],
        [2, 4, 0, 1, 9, 2, 4],
        [2, 4, 0, 1, 9, 2, 4],
    ]


def test_terms_in_another_catalogue() -> None:
    """It has the products 9, 4 and 1 of this one, in another order."""
    own = OwnTerms.of_rows(np.array([[4, 2], [9, 1], [3, -1]]), np.array([[4, 2], [9, 1], [3, 0]]))
    there = np.full(10, -1)
    there[[9, 4, 1]] = [1, 0, 2]
    assert [part.tolist() for part in own.moved(there)] == [[0, 1, 3, 3], [0, 1, 2], [4, 9, 1]]
