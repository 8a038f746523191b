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


def test_with_a_history_it_beats_best_sellers(tmp_path: Path) -> None:
    shop = grocer(tmp_path / "shop")
    document = without_export(
        Options(
            tfrecords_path=shop.examples,
            vocabularies_path=shop.vocabularies,
            metadata_path=shop.metadata,
            output_path=str(tmp_path / "model"),
            feature_config="feature_config_history.yaml",
        )
    )
    sold = np.bincount([row["product_id"] - 1000 for row in shop.rows["train"]], minlength=PRODUCTS)
    best = 1000 + np.argsort(-sold, kind="stable")
    found = document["metrics"]["test_metrics"]
    for k, least in ((5, 1.2), (10, 1.4), (50, 1.05)):
        popularity = np.mean([row["product_id"] in best[:k] for row in shop.rows["test"]])
        assert found[f"test_recall_{k}"] > least * popularity, (k, found, popularity)
    training = document["training"]
    assert training["steps"] == 6 * len(training["curve"])  # of 69 customers, who have 4,140 rows on average
    assert document["hyperparameters"]["warmup_steps_in_force"] == 150 * 6 // 10
