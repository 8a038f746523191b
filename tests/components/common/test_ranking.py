import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from sklearn import metrics

from components.common import ranking
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


def by_brute_force(scores: np.ndarray, query_index: ArrayLike, target: ArrayLike) -> list[tuple[int, int]]:
    """Better and tied candidates of each row, by comparing Python numbers one by one."""
    found = []
    for query, wanted in zip(np.asarray(query_index).tolist(), np.asarray(target).tolist(), strict=True):
        if wanted == NOT_IN_CATALOGUE:
            found.append((2**62, 0))
            continue
        own, others = scores[query].tolist()[wanted], np.delete(scores[query], wanted).tolist()
        found.append((sum(other > own for other in others), sum(other == own for other in others)))
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("block_rows", [1, 5, None])
@pytest.mark.parametrize("cache_bytes", [1, 1000, 1 << 20])
def test_agrees_with_brute_force_where_much_ties_and_rows_repeat(
    dtype: type, block_rows: int | None, cache_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From queries without rows to one that asks for every candidate, several times: some count, some sort."""
    monkeypatch.setattr(ranking, "CACHE_BYTES", cache_bytes)
    rng = np.random.default_rng(6)
    scores: np.ndarray = rng.integers(-4, 5, (17, 60)).astype(dtype)
    rows = np.concatenate([np.repeat([2, 3, 5, 8, 13, 14], [1, 2, 9, 15, 40, 400]), rng.integers(6, 12, 50)])
    query_index = rng.permutation(rows)
    target = rng.integers(-1, 60, len(rows))
    better, tied = count_better(lambda block: scores[block], query_index, target, candidates=60, block_rows=block_rows)
    expected = by_brute_force(scores, query_index, target)
    assert list(zip(better.tolist(), tied.tolist(), strict=True)) == expected
    assert len({(query, wanted) for query, wanted in zip(query_index, target, strict=True)}) < len(rows) / 1.5


VALUES = st.sampled_from([-np.finfo(np.float32).max, -1.5, -1e-45, -0.0, 0.0, 1e-45, 2.0, np.finfo(np.float32).max])


@given(data=st.data(), queries=st.integers(1, 5), candidates=st.integers(1, 9), block_rows=st.integers(1, 6))
def test_agrees_with_brute_force_on_whatever_hypothesis_finds(
    data: st.DataObject, queries: int, candidates: int, block_rows: int
) -> None:
    """Negative zero equals zero, and numbers too small to be normal are none of them."""
    one_query = st.lists(VALUES, min_size=candidates, max_size=candidates)
    scores = np.array(data.draw(st.lists(one_query, min_size=queries, max_size=queries)), np.float32)
    pair = st.tuples(st.integers(0, queries - 1), st.integers(NOT_IN_CATALOGUE, candidates - 1))
    query_index, target = np.array(data.draw(st.lists(pair, max_size=30)), int).reshape(-1, 2).T
    better, tied = count_better(table(scores), query_index, target, candidates=candidates, block_rows=block_rows)
    assert list(zip(better.tolist(), tied.tolist(), strict=True)) == by_brute_force(scores, query_index, target)


@pytest.mark.parametrize("targets", [1, 3, 1500])
def test_negative_zero_ties_with_zero(targets: int) -> None:
    """Every second score is -0.0, however many targets a query has; the last candidate alone scores more."""
    scores = np.zeros((2, 1501), np.float32)
    scores[:, ::2] = -0.0
    scores[:, 1500] = 1.0
    better, tied = count_better(
        table(scores), np.repeat([0, 1], targets), np.tile(np.arange(targets), 2), candidates=1501
    )
    assert better.tolist() == [1] * (2 * targets)
    assert tied.tolist() == [1499] * (2 * targets)


@pytest.mark.parametrize("candidates", [1, 7, 8, 9, 300, 2039, 2040, 2041, 4081, 5000])
@pytest.mark.parametrize("targets", [1, 40])
def test_no_catalogue_is_too_small_or_too_large_to_count(candidates: int, targets: int) -> None:
    """All scores equal, then all but the first target's better than it."""
    target = np.arange(min(targets, candidates))
    better, tied = count_better(table(np.ones((1, candidates))), 0 * target, target, candidates=candidates)
    assert not better.any()
    assert set(tied.tolist()) == {candidates - 1}
    scores = np.ones((1, candidates))
    scores[0, 0] = 0.5
    better, tied = count_better(table(scores), 0 * target, target, candidates=candidates)
    assert (better[0], tied[0]) == (candidates - 1, 0)
    assert set(tied[1:].tolist()) <= {candidates - 2}


def test_scores_closer_than_float32_can_tell_are_told_apart() -> None:
    """The baselines score in float64; 40 steps of 1e-12 are one number in float32."""
    scores = 1 + 1e-12 * np.arange(40)
    better, tied = count_better(lambda _: scores[None, :], np.zeros(40, int), np.arange(40), candidates=40)
    assert better.tolist() == list(range(39, -1, -1))
    assert not tied.any()


def test_the_scores_are_left_as_they_were() -> None:
    scores = np.random.default_rng(7).normal(size=(3, 50)).astype("f4")
    before = scores.copy()
    count_better(table(scores), np.repeat([0, 1, 2], [1, 5, 50]), np.r_[0, 0:5, 0:50], candidates=50)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("targets", [20, 20_000])
def test_memory_does_not_grow_with_the_targets_of_a_query(targets: int) -> None:
    """All comparisons of 20,000 candidates with each other would be 400 MB of booleans."""
    scores = np.random.default_rng(8).permutation(20_000).astype("f4")
    query_index, target = np.repeat(np.arange(20), targets), np.tile(np.arange(targets), 20)
    tracemalloc.start()
    better, _ = count_better(
        lambda block: np.tile(scores, (block.stop - block.start, 1)), query_index, target, candidates=20_000
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(better, 19_999 - scores[target])
    assert peak < 64 << 20


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


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed: int) -> None:
    """Coverage error is the place of the last relevant label, equal scores counted before it.

    https://scikit-learn.org/stable/modules/model_evaluation.html#coverage-error
    """
    rng = np.random.default_rng(seed)
    untied: np.ndarray = rng.normal(size=(80, 120)).astype("f4")
    tying: np.ndarray = rng.integers(-4, 5, (80, 120)).astype("f4")
    target = rng.integers(0, 120, 80)
    better, tied = count_better(table(untied), np.arange(80), target, candidates=120)
    assert not tied.any()
    for k in (1, 5, 10, 50, 100):
        expected = metrics.top_k_accuracy_score(target, untied, k=k, labels=np.arange(120))
        assert recall(better, tied, k).mean() == pytest.approx(expected, abs=1e-12)
    better, tied = count_better(table(tying), np.arange(80), target, candidates=120)
    for query, wanted in enumerate(target):
        relevant = np.arange(120)[None] == wanted
        last = metrics.coverage_error(relevant, tying[query][None])
        first = 121 - metrics.coverage_error(relevant, -tying[query][None])
        assert (better[query], tied[query]) == (first - 1, last - first)


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


def test_a_score_that_is_not_finite_is_named_wherever_its_block_starts() -> None:
    """Query 3 is bad too, but no row asks for its block."""
    scores = np.zeros((9, 4))
    scores[3, 0] = scores[7, 2] = np.nan
    with pytest.raises(InputError, match="query 7 and candidate 2: found nan"):
        count_better(table(scores), np.array([8, 0, 7]), np.array([1, 3, 0]), candidates=4, block_rows=2)


def test_towers_of_different_width_are_refused() -> None:
    with pytest.raises(InputError, match="query embeddings 4 wide, candidate embeddings 3"):
        rank(np.ones((2, 4)), np.ones((5, 3)), [0], [0])
