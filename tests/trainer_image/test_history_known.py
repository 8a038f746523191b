"""Kind history: whose purchases a finished model knows, and until when."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.errors import InputError
from tests.toy_shops import Shop, in_time, vocabulary, write_shard
from tests.trainer_image.served_history import CONFIG, asked, own, signature
from tests.trainings import Trained, without_export
from trainer_image.train import train

import tensorflow as tf  # isort: skip  # after trainer_image, which chooses Keras

from trainer_image import validation  # isort: skip

METADATA = ("stratbuy_domain_desc", "mge_main_cat_desc")


@pytest.fixture(scope="module")
def late(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop where a new customer comes in validation."""
    folder = tmp_path_factory.mktemp("late") / "examples"
    there = in_time(shop, folder)
    rows = [{**row, "cust_person_id": "late"} if i % 9 == 0 else row for i, row in enumerate(there.rows["validation"])]
    write_shard(folder / "validation" / "part-00000-of-00001.tfrecord.gz", rows)
    return there._replace(rows={**there.rows, "validation": rows})


@pytest.fixture(scope="module")
def knowing(late: Shop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """The trained models by the last split that they know; validation is of a sample."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "SCORES", 12 * 20)  # 20 of the 41 customers of validation
        for through in ("train", "validation"):
            model = tmp_path_factory.mktemp(through) / "model"
            options = late.options(model, feature_config=CONFIG, epochs=2, history_through=through)
            found[through] = Trained(model, train(options))
    return found


@pytest.mark.parametrize("known", [("train",), ("train", "validation")])
def test_a_customer_is_what_was_seen_of_it(late: Shop, knowing: dict[str, Trained], known: tuple[str, ...]) -> None:
    """The history that is left out is that of these splits' rows, and of no other."""
    model, document = knowing[known[-1]]
    call, rows = signature(model, "query_model"), [row for split in known for row in late.rows[split]]
    assert document["history"] == {"through": known[-1], "purchases": len(rows)}
    last = max(row["timestamp"] for row in rows)
    mine = [row for row in rows if row["cust_person_id"] == "customer 3"]
    answer = asked(call, ["customer 3", "nobody", "customer 5", "late"])
    assert set(own(answer, 0)) == {row["product_id"] for row in mine}
    assert own(answer, 1) == {}
    assert set(own(answer, 3)) == {row["product_id"] for row in rows if row["cust_person_id"] == "late"}
    told = asked(
        call,
        ["customer 5", "somebody new"],
        history_products=np.array([[row["product_id"] for row in mine] + [-1]] * 2, np.int64),
        history_ages=np.array([[(last - row["timestamp"]) / 86400 for row in mine] + [0]] * 2, np.float32),
    )
    for row in (0, 1):  # whoever it is, it is the history that counts
        np.testing.assert_allclose(told["embedding"][row], answer["embedding"][0], rtol=1e-4, atol=1e-5)
        assert own(told, row) == pytest.approx(own(answer, 0), rel=1e-3, abs=1e-4)


def trends_by_hand(rows: list[dict[str, Any]], catalogue: list[str]) -> np.ndarray:
    """The logarithms that a product's trend is a weighted sum of, float64 [N, 5]."""
    ages = np.array([max(row["timestamp"] for row in rows) - row["timestamp"] for row in rows]) / 86_400
    is_of = np.array([[str(row["product_id"]) == product for row in rows] for product in catalogue])
    sold = is_of.sum(axis=1)
    decayed = is_of @ np.exp2(-ages[:, None] / np.array([5, 10, 30, 90]))
    lately = np.log((decayed + 0.3) / (decayed.sum(axis=0) + 0.3))
    return np.column_stack([np.log((sold + 1) / (sold.sum() + 1)), lately])


def test_knowing_more_teaches_nothing(late: Shop, knowing: dict[str, Trained]) -> None:
    """The weights are those of the model that knows less, though validation is of a sample; trends are not."""
    documents, models, trends = [], [], []
    for folder, document in knowing.values():
        documents.append(document)
        models.append(dict(np.load(folder / "weights.npz")))
        ids = np.array(documents[-1]["catalogue"], np.int64)
        text = {name: tf.constant([late.products[str(product)][name] for product in ids]) for name in METADATA}
        embedded = signature(folder, "candidate_model")(product_id=tf.constant(ids), **text)["embedding"].numpy()
        trends.append(embedded[:, -1])
    for name, values in models[0].items():
        np.testing.assert_array_equal(values, models[1][name])
    steps = [[point["loss"] for point in document["training"]["repeats"]["curve"]] for document in documents]
    assert steps[0] == steps[1]
    assert documents[0]["metrics"]["validation_metrics"] == documents[1]["metrics"]["validation_metrics"]
    assert documents[0]["metrics"]["test_metrics"] != documents[1]["metrics"]["test_metrics"]
    assert documents[0]["hyperparameters"] == documents[1]["hyperparameters"]
    by_hand = [
        trends_by_hand([row for split in splits for row in late.rows[split]], documents[0]["catalogue"])
        for splits in (("train",), ("train", "validation"))
    ]
    weights = np.linalg.lstsq(by_hand[0], trends[0].astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(by_hand[0] @ weights, trends[0], atol=1e-4)
    np.testing.assert_allclose(by_hand[1] @ weights, trends[1], atol=1e-3)
    assert np.abs(trends[1] - trends[0]).max() > 0.01


def test_a_column_may_be_called_history(late: Shop, tmp_path: Path) -> None:
    """Its tokens are its own, not the customers."""
    folder = tmp_path / "examples"
    for split, rows in late.rows.items():
        told = [{**row, "history": row["stratbuy_domain_desc"]} for row in rows]
        write_shard(folder / split / "part-00000-of-00001.tfrecord.gz", told)
    document = json.loads(Path(late.metadata).read_text(encoding="utf-8"))
    for product in document["products"].values():
        product["history"] = product["stratbuy_domain_desc"]
    (folder / "metadata.json").write_text(json.dumps(document), encoding="utf-8")
    vocabularies = json.loads(Path(late.vocabularies).read_text(encoding="utf-8"))
    vocabularies["features"]["history"] = vocabularies["features"]["stratbuy_domain_desc"]
    (tmp_path / "vocabularies.json").write_text(json.dumps(vocabularies), encoding="utf-8")
    there = late._replace(
        examples=str(folder), metadata=str(folder / "metadata.json"), vocabularies=str(tmp_path / "vocabularies.json")
    )
    config = (
        "query: {features: [{kind: history}], layers: [8]}\n"
        "candidate: {features: [{kind: text, name: history, dim: 4}], layers: [8]}"
    )
    without_export(there.options(tmp_path / "model", feature_config=config, epochs=1))
    kept = np.load(tmp_path / "model" / "weights.npz")
    assert sorted(values.shape for values in (kept[name] for name in kept.files) if values.ndim == 2)[0] == (3, 4)


def test_a_customer_that_is_no_text(late: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    shutil.copytree(late.examples, folder)
    path = str(folder / "validation" / "part-00000-of-00001.tfrecord.gz")
    first, *others = tf.data.TFRecordDataset(path, "GZIP").as_numpy_iterator()
    example = tf.train.Example.FromString(first)
    example.features.feature["cust_person_id"].bytes_list.value[0] = b"\xff"
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
        for record in (example.SerializeToString(), *others):
            writer.write(record)
    with pytest.raises(InputError, match=r"examples/validation: found a customer b'\\xff'"):
        train(late._replace(examples=str(folder)).options(tmp_path / "model", feature_config=CONFIG))
    assert not (tmp_path / "model").exists()


def test_histories_of_one_folder_without_splits(shop: Shop, tmp_path: Path) -> None:
    """They are split here, by a hash; nobody's purchases of the test are in a history."""
    rows = [row for of_split in shop.rows.values() for row in of_split]
    write_shard(tmp_path / "examples" / "part-00000-of-00001.tfrecord.gz", rows)
    vocabularies = {"format_version": 1, "rows": len(rows), "features": vocabulary(rows)}
    (tmp_path / "vocabularies.json").write_text(json.dumps(vocabularies), encoding="utf-8")
    there = shop._replace(examples=str(tmp_path / "examples"), vocabularies=str(tmp_path / "vocabularies.json"))
    found = [
        without_export(there.options(tmp_path / through, feature_config=CONFIG, epochs=1, history_through=through))
        for through in ("train", "validation")
    ]
    assert found[0]["history"]["purchases"] == found[0]["training"]["rows"]
    assert 0.13 < (found[1]["history"]["purchases"] - found[0]["history"]["purchases"]) / len(rows) < 0.17
