"""Metrics of lists and baskets against plain Python over lists, on random purchases."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from components.common.bootstrap import Bootstrap
from components.evaluator import metrics, scoring
from components.evaluator.data import Split
from components.evaluator.measures import PerPurchase, Ratio, Reach
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
    return {"values": values, "found": found, "split": split, "lists": lists, "sold": sold, "taste": taste}


def test_every_metric_is_found_by_its_file(world: dict[str, Any]) -> None:
    kinds = {name: type(one) for name, one in world["found"].items()}
    assert kinds == {
        "basket_recall_10": Ratio,
        "basket_ndcg_10": Ratio,
        "coverage_10": Reach,
        "mrr": PerPurchase,
        "ndcg_10": PerPurchase,
        "novelty_10": Ratio,
        "only_bestsellers_10": Ratio,
        "popularity_bias_10": Ratio,
        "recall_5": PerPurchase,
    }


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
    best = set(np.argsort(-sold, kind="stable")[: PRODUCTS // 10].tolist())
    bits = [-math.log2(max(sold[product], 1) / sold.sum()) for shown in lists for product in shown]
    has = [number for number in range(CUSTOMERS) if not math.isnan(taste[number])]
    bias = sum(sold[lists[number]].mean() for number in has) / sum(taste[number] for number in has)
    expected = {
        "coverage_10": len({product for shown in lists for product in shown}) / PRODUCTS,
        "novelty_10": np.mean(bits),
        "popularity_bias_10": bias,
        "only_bestsellers_10": np.mean([set(shown) <= best for shown in lists]),
    }
    for name, value in expected.items():
        assert world["values"][name] == pytest.approx(value, abs=1e-12), name


def test_only_bestsellers_counts_customers_who_get_nothing_else(world: dict[str, Any]) -> None:
    sold = np.arange(100.0, 0, -1)
    lists = np.array([range(10), range(1, 11), range(10)])
    split = world["split"]._replace(customers=np.arange(3).astype(object))
    did = scoring.Scored(split, (1,), np.zeros(0), np.zeros(0), sold, np.arange(3), lists, np.ones(3))
    from components.evaluator.metrics.only_bestsellers import only_bestsellers

    assert only_bestsellers(did)["only_bestsellers_10"].estimate(Bootstrap(3)).value[0] == pytest.approx(2 / 3)


def test_coverage_is_resampled_around_itself(world: dict[str, Any]) -> None:
    """Brute force: the union of the lists of the customers that a resample drew, moved to the measured level."""
    bootstrap = Bootstrap(CUSTOMERS)
    estimate = world["found"]["coverage_10"].estimate(bootstrap)
    drawn = []
    for weights in bootstrap.weights:
        unions = {product for number in np.flatnonzero(weights) for product in world["lists"][number]}
        drawn.append(len(unions) / PRODUCTS)
    np.testing.assert_allclose(estimate.resampled[:, 0], drawn + (estimate.value[0] - np.mean(drawn)), atol=1e-12)
