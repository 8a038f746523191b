"""Nothing but defaults on a small log: the model must know more than what sells best."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toy_shops import CITIES, Shop, vocabulary, write_shard
from tests.trainings import without_export
from trainer_image.options import Options

pytestmark = pytest.mark.slow
CUSTOMERS, PRODUCTS, FAVOURITES = 400, 150, 12
ROWS = {"train": 24_000, "validation": 4_500, "test": 1_500}


def grocer(folder: Path) -> Shop:
    """Customers who buy their dozen favourites again and again, and otherwise what everybody buys."""
    random = np.random.default_rng(11)
    popular = 1 / np.arange(3, PRODUCTS + 3)
    popular /= popular.sum()
    favourites = [random.choice(PRODUCTS, FAVOURITES, replace=False, p=popular) for _ in range(CUSTOMERS)]
    products = {
        str(1000 + i): {
            "art_name": f"product {i}",
            "stratbuy_domain_desc": f"category {i % 5}",
            "mge_main_cat_desc": f"subcategory {i % 20}",
        }
        for i in range(PRODUCTS)
    }
    ids, revenue = list(products), random.gamma(2.0, 300.0, CUSTOMERS)
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, count in ROWS.items():
        customer = random.integers(CUSTOMERS, size=count)
        own = [favourites[one][random.integers(FAVOURITES)] for one in customer]
        bought = np.where(random.random(count) < 0.6, own, random.choice(PRODUCTS, count, p=popular))
        rows[split] = [
            {
                "cust_person_id": f"customer {one}",
                "product_id": int(ids[product]),
                "revenue": float(revenue[one]),
                "city": CITIES[one % 3],
                "timestamp": 1_700_000_000 + 60 * time,
                **products[ids[product]],
            }
            for time, (one, product) in enumerate(zip(customer, bought, strict=True))
        ]
        write_shard(folder / split / "part-00000-of-00001.tfrecord.gz", rows[split])
    metadata = {
        "format_version": 1,
        "schema": {"cust_person_id": "string"},
        "splits": {split: {"rows": count} for split, count in ROWS.items()},
        "products": products,
    }
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    vocabularies = {"format_version": 1, "rows": ROWS["train"], "features": vocabulary(rows["train"])}
    (folder / "vocabularies.json").write_text(json.dumps(vocabularies), encoding="utf-8")
    return Shop(str(folder), str(folder / "vocabularies.json"), str(folder / "metadata.json"), rows, products)


@pytest.fixture(scope="module", params=["feature_config.yaml", "feature_config_history.yaml"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Shop, dict[str, Any]]:
    """A feature config, the shop, and model_metadata.json of a training with nothing but defaults."""
    folder = tmp_path_factory.mktemp("grocer")
    shop = grocer(folder / "shop")
    document = without_export(
        Options(
            tfrecords_path=shop.examples,
            vocabularies_path=shop.vocabularies,
            metadata_path=shop.metadata,
            output_path=str(folder / "model"),
            feature_config=request.param,
        )
    )
    return request.param, shop, document


OPEN = {  # what is asked and not reached: strict, so that whoever mends it finds out
    ("feature_config.yaml", 5): "patience ends it on the plateau of best sellers",
    ("feature_config.yaml", 10): "patience ends it on the plateau of best sellers",
    ("feature_config.yaml", 50): "patience ends it on the plateau of best sellers",
    ("feature_config_history.yaml", 5): "1.23 times best sellers",
}


@pytest.mark.parametrize(("k", "least"), [(5, 1.5), (10, 1.4), (50, 1.05)])
def test_it_beats_best_sellers(
    trained: tuple[str, Shop, dict[str, Any]], request: pytest.FixtureRequest, k: int, least: float
) -> None:
    config, shop, document = trained
    if reason := OPEN.get((config, k)):
        request.applymarker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason))
    sold = np.bincount([row["product_id"] - 1000 for row in shop.rows["train"]], minlength=PRODUCTS)
    best = 1000 + np.argsort(-sold, kind="stable")
    found = document["metrics"]["test_metrics"][f"test_recall_{k}"]
    popularity = np.mean([row["product_id"] in best[:k] for row in shop.rows["test"]])
    assert found > least * popularity, (found, popularity)


def test_it_goes_on_beyond_the_warm_up(
    trained: tuple[str, Shop, dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    config, _, document = trained
    training = document["training"]
    assert training["steps"] == 6 * len(training["curve"])  # of 69 customers, who have 4,140 rows on average
    assert document["hyperparameters"]["warmup_steps_in_force"] == 150 * 6 // 10
    if config == "feature_config.yaml":
        request.applymarker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=OPEN[config, 5]))
        assert len(training["curve"]) > 15 + Options.patience
