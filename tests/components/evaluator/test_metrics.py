"""Metrics of lists and baskets against plain Python over lists, on random purchases."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.bootstrap import Bootstrap
from components.evaluator import metrics, scoring
from components.evaluator.data import Split
from components.evaluator.measures import PerPurchase, Ratio, Reach
from components.evaluator.metrics.only_bestsellers import only_bestsellers
from components.evaluator.scoring import Scorer

CUSTOMERS, PRODUCTS, ROWS = 25, 60, 400


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    rng = np.random.default_rng(11)
    customer, time = rng.integers(0, CUSTOMERS, ROWS), rng.integers(0, 6, ROWS)
    baskets = {pair: number for number, pair in enumerate(sorted(set(zip(customer, time, strict=True))))}
    split = Split(
        raw={},
        customers=np.arange(CUSTOMERS).astype(object),
        customer=customer,
        product=rng.integers(0, PRODUCTS + 3, ROWS),  # the last three are not in the catalogue
        time=time,
        basket=np.array([baskets[pair] for pair in zip(customer, time, strict=True)]),
        cities=np.array([], object),
        city=np.zeros(ROWS, np.int64),
    )
    scores = rng.permuted(np.tile(np.arange(float(PRODUCTS)), (CUSTOMERS, 1)), axis=1)
    sold = rng.integers(0, 50, PRODUCTS).astype(np.float64)
    taste = np.where(rng.random(CUSTOMERS) < 0.2, np.nan, rng.random(CUSTOMERS) * 50)
    target = np.where(split.product < PRODUCTS, split.product, -1)
    did = scoring.score(Scorer(lambda block: scores[block], customer, target, sold), split, (5,), taste)
    bootstrap = Bootstrap(CUSTOMERS)
    found = metrics.measure(did)
    values = {name: one.estimate(bootstrap, customer, []).value[0] for name, one in found.items()}
    lists = [np.argsort(-scores[number])[:10].tolist() for number in range(CUSTOMERS)]
    return {"did": did, "values": values, "found": found, "split": split, "lists": lists, "sold": sold, "taste": taste}


def test_every_metric_is_found_by_its_file(world: dict[str, Any]) -> None:
    kinds = {name: type(one) for name, one in world["found"].items()}
    assert (
        kinds.items()
        >= {
            "basket_recall_10": Ratio,
            "basket_ndcg_10": Ratio,
            "coverage_10": Reach,
            "mrr": PerPurchase,
            "ndcg_10": PerPurchase,
            "novelty_10": Ratio,
            "popularity_bias_10": Ratio,
            "recall_5": PerPurchase,
        }.items()
    )


def test_a_new_file_is_a_new_metric(world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worst.py").write_text(
        "from components.evaluator.measures import PerPurchase\n\n\n"
        "def worst(scored):\n    return {'worst': PerPurchase(scored.better * 1.0)}\n"
    )
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    found = metrics.measure(world["did"])
    worst = found["worst"]
    assert isinstance(worst, PerPurchase)
    assert worst.values.tolist() == world["did"].better.tolist()
    (tmp_path / "again.py").write_text("def again(scored):\n    return {'mrr': None}\n")
    with pytest.raises(ValueError, match="measures mrr, which another metric does too"):
        metrics.measure(world["did"])


def test_baskets(world: dict[str, Any]) -> None:
    baskets = defaultdict(set)
    split = world["split"]
    for customer, time, product in zip(split.customer, split.time, split.product, strict=True):
        baskets[customer, time].add(int(product))
    recalls, gains = [], []
    for (customer, _), products in baskets.items():
        shown = world["lists"][customer]
        recalls.append(len(products & set(shown)) / len(products))
        gain = sum(1 / math.log2(place + 2) for place, product in enumerate(shown) if product in products)
        gains.append(gain / sum(1 / math.log2(place + 2) for place in range(min(len(products), 10))))
    assert world["values"]["basket_recall_10"] == pytest.approx(np.mean(recalls), abs=1e-12)
    assert world["values"]["basket_ndcg_10"] == pytest.approx(np.mean(gains), abs=1e-12)


def test_lists(world: dict[str, Any]) -> None:
    lists, sold, taste = world["lists"], world["sold"], world["taste"]
    bits = [-math.log2(max(sold[product], 1) / sold.sum()) for shown in lists for product in shown]
    has = [number for number in range(CUSTOMERS) if not math.isnan(taste[number])]
    bias = sum(sold[lists[number]].mean() for number in has) / sum(taste[number] for number in has)
    expected = {
        "coverage_10": len({product for shown in lists for product in shown}) / PRODUCTS,
        "novelty_10": np.mean(bits),
        "popularity_bias_10": bias,
    }
    for name, value in expected.items():
        assert world["values"][name] == pytest.approx(value, abs=1e-12), name


def test_only_bestsellers_counts_customers_who_get_nothing_else(world: dict[str, Any]) -> None:
    sold = np.arange(100.0, 0, -1)
    lists = np.array([range(10), range(1, 11), range(10)])
    split = world["split"]._replace(customers=np.arange(3).astype(object))
    did = scoring.Scored(split, (1,), np.zeros(0), np.zeros(0), sold, np.arange(3), lists, np.ones(3))
    assert only_bestsellers(did)["only_bestsellers_10"].estimate(Bootstrap(3)).value[0] == pytest.approx(2 / 3)


def test_there_are_no_lists_of_bestsellers_alone_in_a_small_catalogue(world: dict[str, Any]) -> None:
    assert "only_bestsellers_10" not in world["values"]


def test_the_interval_of_coverage_is_as_wide_as_coverage_varies() -> None:
    """Many splits drawn from one shop: the intervals' width is about that of the figure's own distribution."""
    rng = np.random.default_rng(12)
    customers, products, k = 300, 400, 5
    popular = 1 / np.arange(1, products + 1)
    values, widths = [], []
    for _ in range(60):
        draws = rng.gumbel(size=(customers, products)) + np.log(popular)
        lists = np.argpartition(-draws, k, axis=1)[:, :k]
        found = Reach(np.arange(customers), lists, products).estimate(Bootstrap(customers, replicates=200)).interval()
        assert found is not None
        assert found.value == len(np.unique(lists)) / products
        assert 0 <= found.low < found.value < found.high <= 1
        values.append(found.value)
        widths.append(found.high - found.low)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(values, ddof=1), rel=0.35)


def test_coverage_of_everything_is_not_more_than_everything() -> None:
    lists = np.array([[0, 1], [2, 3]])
    found = Reach(np.arange(2), lists, 4).estimate(Bootstrap(2)).interval()
    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)
