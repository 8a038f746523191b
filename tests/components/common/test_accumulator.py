"""The accumulator against collections.Counter and NumPy in float64."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common import accumulator as module
from components.common.accumulator import Accumulator, merged, quantiles
from components.common.errors import InputError

COLUMNS = {"name": "string", "id": "int64", "price": "float"}
ROW = st.tuples(
    st.one_of(st.sampled_from(["a", "b", "Б", "🧀", ""]), st.text(max_size=5)),
    st.one_of(st.integers(-3, 3), st.sampled_from([2**63 - 1, 10, 9, 100])),
    st.one_of(st.sampled_from([0.0, 0.5, 1e6]), st.floats(-1e6, 1e6, width=32)),
)


def counted(values: list | np.ndarray, kind: type) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(np.array(values, kind), return_counts=True)


def accumulate(batches: list[list[tuple[str, int, float]]]) -> Accumulator:
    accumulator = Accumulator(COLUMNS)
    for rows in batches:
        names, ids, prices = zip(*rows, strict=True)
        accumulator.add(
            len(rows),
            {
                "name": counted([name.encode() for name in names], object),
                "id": counted(list(ids), np.int64),
                "price": counted(list(prices), np.float32),
            },
        )
    return accumulator


@settings(max_examples=80, deadline=None)
@given(shards=st.lists(st.lists(st.lists(ROW, min_size=1, max_size=30), max_size=4), min_size=1, max_size=4))
def test_counter_and_numpy_agree(shards: list[list[list[tuple[str, int, float]]]]) -> None:
    rows = [row for batches in shards for batch in batches for row in batch]
    if not rows:
        return
    # As Beam does it: every shard counted apart, pickled, merged.
    parts = [pickle.loads(pickle.dumps(accumulate(batches))) for batches in shards]  # noqa: S301
    total = merged(parts, COLUMNS)

    assert total.rows == len(rows)
    for place, name in enumerate(("name", "id")):
        expected = sorted(Counter(str(row[place]) for row in rows).items(), key=lambda item: (-item[1], item[0]))
        assert total.tokens(name) == {"tokens": [t for t, _ in expected], "counts": [n for _, n in expected]}
    prices = np.array([row[2] for row in rows], np.float32).astype(np.float64)
    statistics = total.statistics("price")
    assert statistics["count"] == len(rows)
    assert (statistics["min"], statistics["max"]) == (prices.min(), prices.max())
    np.testing.assert_allclose(statistics["mean"], prices.mean(), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(statistics["variance"], prices.var(), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(
        statistics["quantiles"], np.quantile(prices, np.arange(101) / 100), rtol=1e-12, atol=1e-9
    )


def test_a_large_offset_does_not_spoil_the_variance() -> None:
    accumulator = Accumulator({"price": "float"})
    accumulator.add(3, {"price": counted([16_000_000, 16_000_001, 16_000_002], np.float32)})
    assert accumulator.statistics("price")["variance"] == pytest.approx(2 / 3, abs=1e-9)


def test_putting_together_early_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, 50, 30) for _ in range(40)]
    results = []
    for limit in (1, 10**9):
        monkeypatch.setattr(module, "PENDING_ROWS", limit)
        accumulator = Accumulator({"id": "int64"})
        for batch in ids:
            accumulator.add(len(batch), {"id": counted(batch, np.int64)})
        results.append(accumulator.tokens("id"))
    assert results[0] == results[1]
    assert sum(results[0]["counts"]) == 1200


def test_quantiles_by_hand() -> None:
    # 1 1 1 5: the median lies in the ones, the 0.9 quantile 70% of the way from the third to the fourth.
    values, counts = np.array([1.0, 5.0]), np.array([3, 1])
    np.testing.assert_allclose(quantiles(values, counts, np.array([0, 0.5, 0.9, 1])), [1, 1, 1 + 0.7 * 4, 5])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_have_no_mean(bad: float) -> None:
    accumulator = Accumulator({"price": "float"})
    accumulator.add(2, {"price": counted([1, bad], np.float32)})
    with pytest.raises(InputError, match="column price: found 1 rows with NaN or infinity"):
        accumulator.statistics("price")


def test_bytes_that_are_not_text() -> None:
    accumulator = Accumulator({"name": "string"})
    accumulator.add(1, {"name": counted([b"\xff\xfe"], object)})
    with pytest.raises(InputError, match="column name: found bytes that are not UTF-8"):
        accumulator.tokens("name")
