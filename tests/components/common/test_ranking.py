import itertools

import numpy as np
import pytest
from numpy.typing import ArrayLike

from components.common.errors import InputError
from components.common.ranking import NOT_IN_CATALOGUE, ScoreBlock, count_better, embedding_scores, recall


def rank(
    queries: ArrayLike, candidates: ArrayLike, query_index: ArrayLike, target: ArrayLike, **options: int
) -> tuple[np.ndarray, np.ndarray]:
    scores = embedding_scores(np.asarray(queries, np.float32), np.asarray(candidates, np.float32))
    return count_better(
        scores, np.asarray(query_index), np.asarray(target), candidates=len(np.asarray(candidates)), **options
    )


def table(scores: ArrayLike) -> ScoreBlock:
    array = np.asarray(scores, np.float32)
    return lambda block: array[block]


def test_agrees_with_a_full_sort_in_float64() -> None:
    rng = np.random.default_rng(1)
    queries, candidates = rng.normal(size=(40, 8)).astype("f4"), rng.normal(size=(300, 8)).astype("f4")
    query_index, target = rng.integers(0, 40, 500), rng.integers(0, 300, 500)
    better, tied = rank(queries, candidates, query_index, target)
    exact = np.einsum("ud,nd->un", queries.astype("f8"), candidates.astype("f8"))
    place = np.argsort(np.argsort(-exact, axis=1), axis=1)
    np.testing.assert_array_equal(better, place[query_index, target])
    assert not tied.any()


@pytest.mark.parametrize("block_rows", [1, 3, 7, 1000])
def test_blocks_and_the_order_of_rows_make_no_difference(block_rows: int) -> None:
    rng = np.random.default_rng(2)
    queries, candidates = rng.integers(-2, 3, (20, 3)), rng.integers(-2, 3, (50, 3))
    query_index, target = rng.integers(0, 20, 200), rng.integers(-1, 50, 200)
    whole = rank(queries, candidates, query_index, target)
    shuffle = rng.permutation(200)
    parts = rank(queries, candidates, query_index[shuffle], target[shuffle], block_rows=block_rows)
    for expected, found in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(expected[shuffle], found)


def test_each_query_is_scored_once_and_only_if_a_row_asks_for_it() -> None:
    asked = []

    def score_block(block: slice) -> np.ndarray:
        asked.append((block.start, block.stop))
        return np.zeros((block.stop - block.start, 5), np.float32)

    count_better(score_block, np.array([0, 5, 0, 5, 1]), np.array([0, 1, 2, 3, 4]), candidates=5, block_rows=2)
    assert asked == [(0, 2), (4, 6)]


@pytest.mark.parametrize("k", [1, 5, 10, 37])
def test_a_constant_scorer_earns_chance(k: int) -> None:
    better, tied = rank(np.zeros((4, 2)), np.ones((37, 2)), np.arange(4), [0, 5, 20, 36])
    np.testing.assert_allclose(recall(better, tied, k), k / 37, rtol=0, atol=1e-15)


def test_a_perfect_scorer_earns_one_and_an_inverted_one_nothing() -> None:
    places = np.arange(30)
    better, tied = rank(np.eye(30), np.eye(30), places, places)
    assert recall(better, tied, 1).tolist() == [1.0] * 30
    better, tied = rank(-np.eye(30), np.eye(30), places, places)
    assert recall(better, tied, 29).tolist() == [0.0] * 30


def test_ties_are_worth_the_mean_over_all_ways_to_break_them() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        scores = rng.integers(0, 3, 6)
        for target, k in itertools.product(range(6), (1, 2, 4)):
            orders = [order for order in itertools.permutations(range(6)) if _sorted_by(scores, order)]
            expected = np.mean([target in order[:k] for order in orders])
            better, tied = count_better(table([scores]), np.array([0]), np.array([target]), candidates=6)
            assert recall(better, tied, k)[0] == pytest.approx(expected, abs=1e-12)


def _sorted_by(scores: np.ndarray, order: tuple[int, ...]) -> bool:
    return all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))


def test_by_hand() -> None:
    """Scores 5 3 3 3 1: the fives lead, three threes share places 2 to 4, the one comes last."""
    better, tied = count_better(table([[5, 3, 3, 3, 1]]), np.zeros(5, int), np.arange(5), candidates=5)
    assert better.tolist() == [0, 1, 1, 1, 4]
    assert tied.tolist() == [0, 2, 2, 2, 0]
    np.testing.assert_allclose(recall(better, tied, 2), [1, 1 / 3, 1 / 3, 1 / 3, 0])
    assert recall(better, tied, 2).sum() == pytest.approx(2)


def test_agrees_with_in_top_k_where_nothing_ties() -> None:
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(4)
    scores, target = rng.normal(size=(60, 200)).astype("f4"), rng.integers(0, 200, 60)
    better, tied = count_better(table(scores), np.arange(60), target, candidates=200)
    for k in (1, 10, 100):
        expected = tf.math.in_top_k(target, scores, k).numpy()
        np.testing.assert_array_equal(recall(better, tied, k), expected.astype(float))


def test_equal_candidates_tie_wherever_they_stand() -> None:
    rng = np.random.default_rng(5)
    queries, candidates = rng.normal(size=(50, 33)), rng.normal(size=(257, 33))
    candidates[[0, 100, 256]] = candidates[17]
    for target in (0, 17, 100, 256):
        _, tied = rank(queries, candidates, np.arange(50), np.full(50, target))
        assert tied.tolist() == [3] * 50


def test_a_product_outside_the_catalogue_is_never_hit() -> None:
    better, tied = rank(np.ones((2, 1)), np.ones((3, 1)), [0, 1], [NOT_IN_CATALOGUE, 0])
    assert recall(better, tied, 3).tolist() == [0.0, 1.0]
    assert recall(better, tied, 10_000)[0] == 0.0


def test_no_rows_at_all() -> None:
    better, tied = rank(np.ones((2, 1)), np.ones((3, 1)), np.zeros(0, int), np.zeros(0, int))
    assert len(better) == len(tied) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    scores = np.zeros((3, 4), np.float32)
    scores[2, 1] = bad
    with pytest.raises(InputError, match="query 2 and candidate 1"):
        count_better(table(scores), np.arange(3), np.zeros(3, int), candidates=4)


def test_towers_of_different_width_are_refused() -> None:
    with pytest.raises(InputError, match="query embeddings 4 wide, candidate embeddings 3"):
        rank(np.ones((2, 4)), np.ones((5, 3)), [0], [0])
