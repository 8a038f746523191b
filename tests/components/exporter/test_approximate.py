"""The index configuration, and the recall of approximate search with it."""

from typing import Any

import numpy as np
import pytest

from components.exporter import approximate, vector_index


def tree(products: int) -> Any:
    return vector_index.metadata(products, 32)["config"]["algorithmConfig"]["treeAhConfig"]


@pytest.mark.parametrize(
    ("products", "percent"),
    [(1, 100), (1500, 100), (10_000, 100), (20_000, 50), (30_000, 34), (99_999, 11), (10**7, 10)],
)
def test_ten_thousand_products_or_a_tenth_are_searched(products: int, percent: int) -> None:
    assert tree(products) == {"leafNodeEmbeddingCount": 1000, "leafNodesToSearchPercent": percent}


def by_hand(queries: np.ndarray, candidates: np.ndarray, index: Any, k: int) -> float:
    """Recall@k of an index that returns its candidates unordered: sets of ids, in float64."""
    exact = queries.astype(np.float64) @ candidates.T.astype(np.float64)
    _, found = index.search(queries, min(150, len(candidates)))
    hits = 0
    for row, ids in zip(exact, found, strict=True):
        best = set(np.argsort(-row)[:k].tolist())
        hits += len(best & set(sorted(set(ids.tolist()) - {-1}, key=lambda id_: -row[id_])[:k]))
    return hits / (k * len(queries))


@pytest.mark.parametrize(("products", "width"), [(700, 32), (2500, 15), (1000, 1)])
def test_recall_is_the_share_of_the_exact_list(products: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    queries, candidates = (rng.normal(size=(rows, width)).astype("f4") for rows in (200, products))
    index, description = approximate._index(candidates)
    monkeypatch.setattr(approximate, "_index", lambda _: (index, description))  # learning one takes its time
    found = approximate.measure(queries, candidates)
    assert found["index"] == description
    assert found["queries"] == 200
    for k in (10, 100):
        assert found[f"recall_{k}"] == pytest.approx(by_hand(queries, candidates, index, k), abs=1e-4)
    assert 0.3 < found["recall_100"] <= 1


@pytest.mark.parametrize("products", [1, 5, 50, 623])
def test_a_small_catalogue_is_searched_exactly(products: int) -> None:
    rng = np.random.default_rng(5)
    queries, candidates = (rng.normal(size=(rows, 4)).astype("f4") for rows in (3, products))
    found = approximate.measure(queries, candidates)
    recalls = {name: value for name, value in found.items() if name.startswith("recall")}
    assert recalls == {f"recall_{k}": 1.0 for k in (10, 100) if k <= products}
    assert found["index"] == "Flat"


def test_equal_products_are_as_good_as_each_other() -> None:
    """A model that gives all products one embedding: whatever is found ties with the best."""
    found = approximate.measure(np.ones((4, 8), "f4"), np.ones((700, 8), "f4"))
    assert (found["recall_10"], found["recall_100"]) == (1, 1)


def test_of_many_queries_some_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "MOST_QUERIES", 7)
    rng = np.random.default_rng(5)
    assert (
        approximate.measure(rng.normal(size=(100, 4)).astype("f4"), rng.normal(size=(20, 4)).astype("f4"))["queries"]
        == 7
    )
