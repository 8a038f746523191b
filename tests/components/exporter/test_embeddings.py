import json
from pathlib import Path
from typing import Any

import numpy as np

from components.common import feature_config as fc
from components.exporter import embeddings

CONFIG = """
query: {features: [{kind: id, name: cust_person_id}]}
candidate:
  features:
    - {kind: id, name: product_id}
    - {kind: text, name: mge_main_cat_desc, restrict: true}
    - {kind: text, name: brand, restrict: true}
    - {kind: text, name: colour}
    - {kind: numeric, name: price, restrict: true}
    - {kind: numeric, name: weight}
    - {kind: numeric, name: price, transform: bucketize, restrict: true}
    - {kind: temporal, name: listed_at, restrict: true}
    - {kind: id, name: supplier, restrict: true}
"""
ABOUT = {
    "stratbuy_domain_desc": "Dairy",
    "mge_main_cat_desc": "Молоко",
    "brand": "Домик",
    "colour": "white",
    "price": 1.29,
    "weight": 1000.0,
    "listed_at": 1_700_000_000,
    "supplier": "7",
}


def written(folder: Path, products: dict[str, dict[str, Any]], config: str = CONFIG) -> list[dict[str, Any]]:
    restricted = embeddings.restricts(fc.load(config).model_dump(mode="json"))
    embeddings.write(str(folder), list(products), np.ones((len(products), 2), "f4"), products, restricted)
    return [json.loads(line) for line in (folder / "embeddings.json").read_text(encoding="utf-8").splitlines()]


def test_every_bit_of_an_embedding_survives(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(50, 32)) * 10.0 ** rng.integers(-30, 30, (50, 32))).astype("f4")
    catalogue = [str(product) for product in range(50)]
    products: dict[str, dict[str, Any]] = {product: {} for product in catalogue}
    embeddings.write(str(tmp_path), catalogue, values, products, embeddings.restricts({}))
    lines = [json.loads(line) for line in (tmp_path / "embeddings.json").read_text().splitlines()]
    assert [line["id"] for line in lines] == catalogue
    np.testing.assert_array_equal(np.array([line["embedding"] for line in lines], "f4"), values)


def test_marked_features_restrict_searches(tmp_path: Path) -> None:
    assert written(tmp_path, {"12": ABOUT}) == [
        {
            "id": "12",
            "embedding": [1, 1],
            "restricts": [
                {"namespace": "category", "allow": ["Dairy"]},
                {"namespace": "subcategory", "allow": ["Молоко"]},
                {"namespace": "brand", "allow": ["Домик"]},
                {"namespace": "supplier", "allow": ["7"]},
            ],
            "numeric_restricts": [
                {"namespace": "price", "value_float": 1.29},
                {"namespace": "listed_at", "value_int": 1_700_000_000},
            ],
            "crowding_tag": "Молоко",
        }
    ]


def test_what_a_product_lacks_does_not_restrict_it(tmp_path: Path) -> None:
    lacking = {**ABOUT, "brand": "", "mge_main_cat_desc": None, "price": float("nan"), "listed_at": None}
    assert written(tmp_path, {"12": lacking}) == [
        {
            "id": "12",
            "embedding": [1, 1],
            "restricts": [{"namespace": "category", "allow": ["Dairy"]}, {"namespace": "supplier", "allow": ["7"]}],
        }
    ]


def test_a_model_without_its_config_is_restricted_by_category(tmp_path: Path) -> None:
    assert embeddings.restricts({}) == embeddings.restricts(fc.load("feature_config.yaml").model_dump(mode="json"))
    assert list(embeddings.restricts({}).tokens) == ["category", "subcategory"]
