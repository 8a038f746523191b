"""Counting by embeddings is as exact as it says: float32 decides nothing that it could get wrong."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.common import dot_products
from components.common.dot_products import DotProducts
from components.common.errors import InputError
from components.common.ranking import count_better


def defined(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """float32 [U, N]: every sum by math.fsum, which rounds once, then to float32."""
    return np.array(
        [[np.float32(math.fsum(float(a) * float(b) for a, b in zip(q, c, strict=True))) for c in candidates]
         for q in queries]
    )  # fmt: skip


def by_comparing(scores: np.ndarray, query: np.ndarray, target: np.ndarray) -> list[list[int]]:
    """Better and tied candidates of each pair."""
    rows = [(scores[a], scores[a][b]) for a, b in zip(query, target, strict=True)]
    return [[int((row > own).sum()) for row, own in rows], [int((row == own).sum()) - 1 for row, own in rows]]


def ranks(queries: np.ndarray, candidates: np.ndarray, query: np.ndarray, target: np.ndarray) -> list[list[int]]:
    scores = DotProducts(queries, candidates)
    assert scores.countable
    return [found.tolist() for found in count_better(scores, query, target, candidates=len(candidates))]


def cancelling(rng: np.random.Generator, queries: int, candidates: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 embeddings whose first two products are millions that leave a few units: exact in float64 alone."""
    first, last = rng.integers(1000, 1010, (candidates, 1)), rng.integers(-3, 4, (candidates, 3))
    right = np.hstack([first, first + rng.integers(-1, 2, (candidates, 1)) / 1024, last])
    large = 2 * rng.integers(2045, 2055, (queries, 1)) + 1
    left = np.hstack([large, -large, rng.integers(-3, 4, (queries, 3)) / 4])
    return left.astype("f4"), right.astype("f4")


@pytest.mark.parametrize(("tile_bytes", "tile_candidates"), [(1, 3), (100, 8), (4000, 50), (1 << 20, 2040)])
@pytest.mark.parametrize("pairs", [1, 1000])
def test_where_float32_cannot_tell(
    tile_bytes: int, tile_candidates: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of a few units beside products of millions, many of them equal; from one target of a query to all."""
    monkeypatch.setattr(dot_products, "TILE_BYTES", tile_bytes)
    monkeypatch.setattr(dot_products, "TILE_CANDIDATES", tile_candidates)
    monkeypatch.setattr(dot_products, "PAIRS", pairs)
    monkeypatch.setattr(dot_products, "UNCLEAR", 100 * pairs)
    rng = np.random.default_rng(1)
    queries, candidates = cancelling(rng, 12, 130)
    query = rng.permutation(np.repeat(np.arange(12), [0, 1, 1, 2, 3, 5, 8, 13, 20, 40, 90, 200]))
    target = rng.integers(0, 130, len(query))
    expected = by_comparing(defined(queries, candidates), query, target)
    assert ranks(queries, candidates, query, target) == expected
    assert sum(expected[1]) > 100
    in_float32 = (queries[:, None, :] * candidates[None]).sum(axis=2)
    assert by_comparing(in_float32, query, target) != expected


@pytest.mark.parametrize("width", [1, 3, 32, 200])
@pytest.mark.parametrize("scales", [(1.0, 1.0), (1e15, 1e-2), (1e-30, 1.0), (1e-21, 1e-21)])
def test_random_embeddings_with_neighbours_one_step_apart(width: int, scales: tuple[float, float]) -> None:
    """Every candidate has a copy and a copy that is moved by the smallest step of one coordinate.

    With the last scales float32 has only a few bits left for a score.
    """
    rng = np.random.default_rng(width)
    queries = (scales[0] * rng.normal(size=(30, width))).astype("f4")
    once = (scales[1] * rng.normal(size=(40, width))).astype("f4")
    moved = once.copy()
    moved[:, 0] = np.nextafter(moved[:, 0], np.float32(np.inf))
    candidates = np.concatenate([once, moved, once])
    query, target = np.repeat(np.arange(30), 6), rng.integers(0, 120, 180)
    expected = by_comparing(defined(queries, candidates), query, target)
    assert ranks(queries, candidates, query, target) == expected
    assert sum(expected[1]) > 90


NUMBER = st.just(-0.0) | st.builds(
    lambda whole, power: whole * 2.0**power, st.integers(-3, 3), st.sampled_from([-12, 0, 12])
)


@given(data=st.data(), width=st.integers(1, 4), sizes=st.tuples(st.integers(1, 4), st.integers(1, 9)))
def test_agrees_with_fractions_on_whatever_hypothesis_finds(
    data: st.DataObject, width: int, sizes: tuple[int, int]
) -> None:
    """No product of these needs more digits than float64 has, so one rounding to float32 is all that there is."""
    row = st.lists(NUMBER, min_size=width, max_size=width)
    queries, candidates = (
        np.array(data.draw(st.lists(row, min_size=size, max_size=size)), np.float32) for size in sizes
    )
    query, target = (array.ravel() for array in np.indices(sizes))
    exact = [[sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(q, c, strict=True)) for c in candidates]
             for q in queries]  # fmt: skip
    scores = np.array([[np.float32(float(score)) for score in row] for row in exact])
    assert ranks(queries, candidates, query, target) == by_comparing(scores, query, target)


def test_tiles_and_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    queries, candidates = rng.normal(size=(70, 33)).astype("f4"), rng.normal(size=(610, 33)).astype("f4")
    candidates[300:] = candidates[:310]
    query, target = rng.integers(0, 70, 400), rng.integers(0, 610, 400)
    whole = ranks(queries, candidates, query, target)
    assert 0 < np.mean(whole[1]) < 2
    for block_rows in (1, 2, 7, 64):
        monkeypatch.setattr(dot_products, "TILE_CANDIDATES", 8 * block_rows + 1)
        again = count_better(DotProducts(queries, candidates), query, target, candidates=610, block_rows=block_rows)
        assert [found.tolist() for found in again] == whole


def test_embeddings_whose_products_could_overflow_float32_are_ranked_all_the_same() -> None:
    """Lengths of 1e30 both, but no score above 1e38."""
    queries = np.array([[1e30, 1e8]], "f4")
    candidates = np.array([[0, 5e29], [0, 1e30], [0, 1e29]], "f4")
    scores = DotProducts(queries, candidates)
    assert not scores.countable
    better, tied = count_better(scores, np.zeros(3, int), np.arange(3), candidates=3)
    assert better.tolist() == [1, 0, 2]
    assert not tied.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused(bad: float) -> None:
    candidates = np.ones((6, 3), "f4")
    candidates[4, 1] = bad
    with pytest.raises(InputError, match=f"query 0 and candidate 4: found {bad}"):
        count_better(DotProducts(np.ones((2, 3), "f4"), candidates), np.array([1, 0]), np.array([0, 1]), candidates=6)


def test_float64_embeddings_are_not_rounded_first() -> None:
    queries = np.array([[1.0, -1.0]])
    candidates = np.stack([1 + 1e-9 * np.arange(3), np.ones(3)], axis=1)
    better, _ = count_better(DotProducts(queries, candidates), np.zeros(3, int), np.arange(3), candidates=3)
    assert better.tolist() == [2, 1, 0]


def test_float16_embeddings_are_not_multiplied_as_such() -> None:
    rng = np.random.default_rng(6)
    queries, candidates = rng.normal(size=(10, 9)).astype("f2"), rng.normal(size=(300, 9)).astype("f2")
    query, target = np.arange(10), rng.integers(0, 300, 10)
    found = count_better(DotProducts(queries, candidates), query, target, candidates=300)
    assert [counts.tolist() for counts in found] == by_comparing(defined(queries, candidates), query, target)


@pytest.mark.parametrize(("queries", "targets"), [(1000, 1), (100, 200)])
@pytest.mark.parametrize("embedded", ["apart", "nearly alike", "alike"])
def test_memory_does_not_grow_with_the_scores(queries: int, targets: int, embedded: str) -> None:
    """The scores of 1,000 queries and 20,000 candidates would be 80 MB, their embeddings are 0.7 MB."""
    rng = np.random.default_rng(4)
    left = rng.normal(size=(queries, 8)).astype("f4")
    right = rng.normal(size=(20_000, 8)).astype("f4") if embedded == "apart" else np.ones((20_000, 8), "f4")
    if embedded == "nearly alike":  # everything is left to float64, which takes its time
        left, right[:, 0] = left[:3], np.nextafter(right[:, 0], rng.integers(0, 3, 20_000), dtype="f4")
    query, target = np.repeat(np.arange(len(left)), targets), rng.integers(0, 20_000, len(left) * targets)
    tracemalloc.start()
    better, tied = count_better(DotProducts(left, right), query, target, candidates=20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20
    if embedded == "alike":
        assert set(zip(better.tolist(), tied.tolist(), strict=True)) == {(0, 19_999)}


@pytest.mark.parametrize("spread", [1.0, 1e-6])
@pytest.mark.parametrize("side", [-1, 1])
def test_float32_products_may_be_as_wrong_as_float32_allows(
    spread: float, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them on one side, by the whole of a textbook's bound; from random vectors to nearly equal ones."""
    rng = np.random.default_rng(5)
    base = rng.uniform(1, 2, 16)
    queries, candidates = ((base + spread * rng.normal(size=(rows, 16))).astype("f4") for rows in (20, 200))
    candidates[150:] = candidates[:50]
    query, target = np.repeat(np.arange(20), 3), rng.integers(0, 200, 60)
    expected = by_comparing(defined(queries, candidates), query, target)

    def worst(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> np.ndarray:
        left, right = left.astype("f8"), right.astype("f8")
        exact = np.einsum("ud,dn->un", left, right)
        error = 16 * 2.0**-24 * np.abs(left) @ np.abs(right)
        out[:] = exact + side * error
        too_far = np.abs(out - exact) > error
        out[too_far] = np.nextafter(out, exact.astype("f4"))[too_far]
        assert (np.abs(out - exact) <= error).all()
        assert (np.abs(out - exact) > 0.9 * error).any()
        return out

    monkeypatch.setattr(np, "matmul", worst)
    assert ranks(queries, candidates, query, target) == expected
