"""The Trainer from files to files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common.errors import InputError
from tests.toy_shops import Shop
from tests.trainings import without_export
from trainer_image.train import train


@pytest.fixture(scope="module")
def trained(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    output = tmp_path_factory.mktemp("trained") / "model"
    return output, train(shop.options(output, epochs=40, patience=40))


def raw(rows: list[dict[str, Any]], columns: dict[str, Any]) -> dict[str, tf.Tensor]:
    return {name: tf.constant([row[name] for row in rows], dtype) for name, dtype in columns.items()}


QUERY = {"cust_person_id": tf.string, "revenue": tf.float32, "city": tf.string}
CANDIDATE = {"product_id": tf.int64, "stratbuy_domain_desc": tf.string, "mge_main_cat_desc": tf.string}


def test_it_learns(trained: tuple[Path, dict[str, Any]]) -> None:
    """Three favourites with 0.8 of the purchases: the best possible Recall@5 is about 0.83, chance is 0.42."""
    assert trained[1]["metrics"]["test_metrics"]["test_recall_5"] > 0.7
    curve = trained[1]["training"]["curve"]
    assert curve[-1]["loss"] < 0.8 * trained[1]["training"]["chance_loss"]


def test_saved_models_agree_with_each_other_and_the_recall_that_was_reported(
    shop: Shop, trained: tuple[Path, dict[str, Any]]
) -> None:
    output, document = trained
    load = {name: tf.saved_model.load(str(output / name)) for name in ("query_model", "candidate_model", "saved_model")}
    serve = {name: model.signatures["serving_default"] for name, model in load.items()}
    catalogue = document["catalogue"]
    rows = [{"product_id": int(product), **shop.products[product]} for product in catalogue]
    candidates = serve["candidate_model"](**raw(rows, CANDIDATE))["embedding"].numpy()
    queries = serve["query_model"](**raw(shop.rows["test"], QUERY))["embedding"].numpy()
    served = serve["saved_model"](**raw(shop.rows["test"], QUERY))
    order = np.argsort(-(queries @ candidates.T), axis=1)[:, :5]
    np.testing.assert_array_equal(served["product_ids"].numpy(), np.array([int(p) for p in catalogue])[order])
    bought = np.array([row["product_id"] for row in shop.rows["test"]])
    hits = (served["product_ids"].numpy() == bought[:, None]).any(axis=1).mean()
    assert document["metrics"]["test_metrics"]["test_recall_5"] == pytest.approx(hits, abs=1e-9)


def test_an_unknown_customer_is_served(trained: tuple[Path, dict[str, Any]]) -> None:
    model = tf.saved_model.load(str(trained[0] / "saved_model"))
    row = {"cust_person_id": "nobody", "revenue": 0.0, "city": "Atlantis"}
    served = model.signatures["serving_default"](**raw([row], QUERY))
    assert served["product_ids"].shape == (1, 5)
    assert np.isfinite(served["scores"].numpy()).all()


def test_metadata_keeps_its_contract(trained: tuple[Path, dict[str, Any]]) -> None:
    document = json.loads((trained[0] / "model_metadata.json").read_text(encoding="utf-8"))
    assert document["architecture"] == "two-tower"
    dims = {"customer": "64D", "product": "32D", "category": "16D", "subcategory": "24D", "city": "16D"}
    assert document["hyperparameters"]["embedding_dims"] == dims
    assert document["towers"]["tables"] == {
        "cust_person_id": 64,
        "city": 16,
        "product_id": 32,
        "stratbuy_domain_desc": 16,
        "mge_main_cat_desc": 24,
        "stratbuy_domain_desc_x_mge_main_cat_desc": 16,
    }
    assert document["hyperparameters"]["product_metadata"] == {
        "total_features": 7,  # customer, revenue, city; product, category, subcategory and the two together
        "categories": 2,
        "subcategories": 4,
        "product_names": 12,
    }
    assert "metadata_impact" not in document  # not measured, so not there


def test_the_same_seed_gives_the_same_model(shop: Shop, tmp_path: Path) -> None:
    first, second, other = (
        without_export(shop.options(tmp_path / name, epochs=2, seed=seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first["model_version"] == second["model_version"] != other["model_version"]
    assert first["metrics"] == second["metrics"]


def test_in_batch_loss_learns_too(shop: Shop, tmp_path: Path) -> None:
    document = without_export(shop.options(tmp_path / "model", epochs=12, loss="in-batch"))
    assert document["metrics"]["test_metrics"]["test_recall_5"] > 0.7


EVERY_KIND = """
query:
  features:
    - {kind: id, name: cust_person_id}
    - {kind: numeric, name: revenue, transform: bucketize, buckets: 4}
    - {kind: temporal, name: timestamp}
  layers: [16]
candidate:
  features:
    - {kind: id, name: product_id}
    - {kind: text, name: mge_main_cat_desc, dim: 4}
  layers: [16]
"""


def test_every_kind_of_feature_is_served_from_raw_values(shop: Shop, tmp_path: Path) -> None:
    train(shop.options(tmp_path / "model", feature_config=EVERY_KIND))
    serve = tf.saved_model.load(str(tmp_path / "model" / "saved_model")).signatures["serving_default"]
    columns = {"cust_person_id": tf.string, "revenue": tf.float32, "timestamp": tf.int64}
    assert serve(**raw(shop.rows["test"][:3], columns))["product_ids"].shape == (3, 5)


def stale_vocabularies(shop: Shop, folder: Path) -> dict[str, Any]:
    document = json.loads(Path(shop.vocabularies).read_text(encoding="utf-8")) | {"format_version": 0}
    (folder / "old.json").write_text(json.dumps(document), encoding="utf-8")
    return {"vocabularies_path": str(folder / "old.json")}


def smaller_vocabulary(shop: Shop, folder: Path) -> str:
    document = json.loads(Path(shop.vocabularies).read_text(encoding="utf-8"))
    product = document["features"]["product_id"]
    product["tokens"], product["counts"] = product["tokens"][:-1], product["counts"][:-1]
    (folder / "smaller.json").write_text(json.dumps(document), encoding="utf-8")
    return str(folder / "smaller.json")


BAD: list[tuple[Callable[[Shop, Path], dict[str, Any]], str]] = [
    (stale_vocabularies, r"old\.json, field format_version: found 0, expected 1"),
    (lambda shop, _: {"top_k": 13}, r"--top-k: found 13, expected 1 to 12"),
    (lambda shop, _: {"tfrecords_path": "/nowhere"}, "/nowhere: found no files"),
    (lambda shop, _: {"metadata_path": "/nowhere.json"}, r"/nowhere\.json: found no such file"),
    (lambda shop, _: {"learning_rate": 1e30, "warmup_steps": 0}, r"expected finite numbers\. Lower --learning-rate"),
    (lambda shop, _: {"epochs": 0}, "--epochs: found 0, expected 1 or more"),
    (lambda shop, _: {"learning_rate": -1.0}, r"--learning-rate: found -1\.0, expected 0 or more"),
    (lambda shop, _: {"vocabularies_path": smaller_vocabulary(shop, _)}, "training rows with a product that is not"),
    (lambda shop, _: {"batch_size": 2001}, "--batch-size: found 2001 rows"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_input_is_explained_and_leaves_nothing(
    shop: Shop, tmp_path: Path, change: Callable[[Shop, Path], dict[str, Any]], message: str
) -> None:
    changes = change(shop, tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        train(shop.options(tmp_path / "model", **changes))
    assert sorted(tmp_path.iterdir()) == before


def test_another_runs_output_is_not_overwritten(shop: Shop, trained: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="found the output of another run"):
        train(shop.options(trained[0]))
