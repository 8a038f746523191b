"""Kind history: what is pooled, hidden and learned, and that the SavedModels answer by it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.errors import InputError
from tests.toy_shops import Shop, in_time, vocabulary, write_shard
from tests.trainings import Trained, without_export
from trainer_image.train import train

import tensorflow as tf  # isort: skip  # after trainer_image, which chooses Keras

from trainer_image import history, loop, losses, repeats, validation  # isort: skip
from trainer_image.history import Events  # isort: skip
from trainer_image.preemption import Preempted  # isort: skip

CONFIG = "feature_config_history.yaml"
METADATA = ("stratbuy_domain_desc", "mge_main_cat_desc")
EVENTS = [(0, 3, 2.0), (0, 3, 12.0), (0, 1, 0.0), (2, 3, 40.0), (2, 3, 10.0), (2, 3, 10.0)]


def events() -> Events:
    row, place, age = zip(*EVENTS, strict=True)
    return Events(tf.constant(row, tf.int32), tf.constant(place, tf.int32), tf.constant(age, tf.float32))


def test_pairs_by_hand() -> None:
    found = history.pairs(events(), 5, (10.0,))
    rows = list(zip(*(values.numpy().tolist() for values in found), strict=True))
    assert [row[:5] for row in rows] == [(0, 3, 2, 12, 2), (0, 1, 1, 0, 0), (2, 3, 3, 40, 10)]
    by_hand = [2**-0.2 + 2**-1.2, 1.0, 2**-4.0 + 2 * 0.5]
    np.testing.assert_allclose([row[5][0] for row in rows], by_hand, rtol=1e-6)


def test_no_purchases_no_pairs() -> None:
    none = Events(tf.zeros(0, tf.int32), tf.zeros(0, tf.int32), tf.zeros(0, tf.float32))
    found = history.pairs(none, 5, (10.0,))
    assert [len(values) for values in found] == [0] * 6
    pooled = history.pooled(tf.ones([5, 3]), found.row, found.place, found.count, 2)
    np.testing.assert_array_equal(pooled.numpy(), np.zeros((2, 3)))


def test_pooled_is_numpys() -> None:
    rng = np.random.default_rng(1)
    candidates = rng.normal(size=(5, 4)).astype(np.float32)
    row, place, count = [0, 0, 2, 2], [1, 4, 0, 1], [3, 1, 2, 0]
    weights = np.zeros((3, 5))
    weights[row, place] = np.log1p(count)
    expected = weights @ candidates.astype(np.float64) / np.sqrt(1 + (weights**2).sum(axis=1, keepdims=True))
    found = history.pooled(
        tf.constant(candidates),
        tf.constant(row, tf.int32),
        tf.constant(place, tf.int32),
        tf.constant(count, tf.float32),
        3,
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_what_is_kept_depends_on_pair_step_and_seed_alone() -> None:
    customer, place = (tf.constant(part.ravel(), tf.int32) for part in np.meshgrid(np.arange(200), np.arange(300)))

    def kept(step: int, seed: int = 1, of: slice = slice(None)) -> np.ndarray:
        return history.is_kept(customer[of], place[of], tf.constant(step), seed).numpy()

    whole = kept(7)
    share = 0.98 * 0.8  # nothing of 2% of the customers, else four fifths
    by_customer = whole.reshape(300, 200).mean(axis=0)
    empty = by_customer == 0
    assert 0 < empty.sum() <= 12  # of 200; the chance of more is 1 in 5,000
    assert abs(by_customer[~empty].mean() - 0.8) < 0.005  # 60,000 draws: three standard errors
    np.testing.assert_array_equal(kept(7, of=slice(100, 900)), whole[100:900])
    for other in (kept(8), kept(7, seed=2)):
        assert abs((whole & other).mean() - whole.mean() * other.mean()) < 0.01  # independent of each other
        assert abs(other.mean() - share) < 0.05
    assert by_customer[~empty].std() < 2 * np.sqrt(0.8 * 0.2 / 300)


def test_the_loss_of_hidden_products_is_numpys() -> None:
    rng = np.random.default_rng(2)
    queries, candidates = rng.normal(size=(3, 4)), rng.normal(size=(6, 4))
    pairs = [(0, 1, 2.0, True), (0, 3, 1.5, False), (1, 0, 1.0, False), (1, 5, 3.0, False), (2, 2, 1.0, True)]
    row, place, weight, kept = (np.array(column) for column in zip(*pairs, strict=True))
    expected = 0.0
    for q, p, w, k in pairs:
        if not k:
            seen = [other for query, other, _, is_kept in pairs if query == q and is_kept]
            open_ = [product for product in range(6) if product not in seen]
            scores = candidates[open_] @ queries[q]
            expected -= w * (candidates[p] @ queries[q] - np.log(np.exp(scores).sum()))
    variables = tf.Variable(queries, dtype=tf.float32), tf.Variable(candidates, dtype=tf.float32)
    rest = tf.constant(row), tf.constant(place), tf.constant(weight, tf.float32), tf.constant(kept)
    with tf.GradientTape() as tape:
        loss = losses.others(*variables, *rest)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)
    gradient = tape.gradient(loss, variables[0]).numpy()
    assert (gradient[2] == 0).all()  # a query of which nothing is hidden teaches nothing
    assert (gradient[:2] != 0).all()


def test_statistics_and_trends_by_hand() -> None:
    found = repeats.statistics(history.pairs(events(), 5, repeats.HALF_LIVES), 5)
    decayed = np.zeros((5, 4))
    decayed[1] = 1
    for column, half_life in enumerate((5, 10, 30, 90)):
        decayed[3, column] = sum(2 ** (-age / half_life) for age in (2, 12, 40, 10, 10))
    by_hand: list[Any] = [[0, 1, 0, 5, 0], decayed, [0, 1, 0, 2, 0], [0, 0, 0, 2, 0]]
    for values, expected in zip(found, by_hand, strict=True):
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-6)
    shares = np.column_stack([np.array([1, 2, 1, 6, 1]) / 7, (decayed + 0.3) / (decayed.sum(axis=0) + 0.3)])
    np.testing.assert_allclose(repeats.trends(found).numpy(), np.log(shares), rtol=1e-5)


@pytest.fixture(scope="module", params=["temporal", "random"])
def trained(request: pytest.FixtureRequest, shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    there = in_time(shop, folder / "examples") if request.param == "temporal" else shop
    document = train(there.options(folder / "model", feature_config=CONFIG, epochs=3))
    return there, folder / "model", document


def signature(folder: Path, name: str) -> Any:
    loaded = tf.saved_model.load(str(folder / name))
    call = loaded.signatures["serving_default"]
    call.kept = loaded
    return call


NOTHING = {"history_products": np.zeros((1, 0), np.int64), "history_ages": np.zeros((1, 0), np.float32)}


def asked(call: Any, customers: list[str], **given: np.ndarray) -> dict[str, np.ndarray]:
    raw = {"cust_person_id": np.array(customers, object), **NOTHING, **given}
    return {name: value.numpy() for name, value in call(**{k: tf.constant(v) for k, v in raw.items()}).items()}


def own(answer: dict[str, np.ndarray], row: int) -> dict[int, float]:
    pairs = zip(answer["own_products"][row].tolist(), answer["own_scores"][row].tolist(), strict=True)
    return {product: score for product, score in pairs if product != -1}


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
    example = tf.train.Example()
    example.features.feature["cust_person_id"].bytes_list.value.append(b"\xff")
    path = str(folder / "validation" / "part-00000-of-00001.tfrecord.gz")
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(InputError, match=r"part-00000-of-00001\.tfrecord\.gz: found a customer b'\\xff'"):
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


def test_one_request_with_and_without_a_history(trained: Any) -> None:
    _, folder, _ = trained
    call = signature(folder, "query_model")
    alone = asked(call, ["customer 5"])
    mixed = asked(
        call,
        ["customer 5", "new"],
        history_products=np.array([[-1, 7], [1000, 1000]], np.int64),  # 7 is no product
        history_ages=np.array([[0, 0], [1, np.nan]], np.float32),
    )
    assert own(mixed, 0) == pytest.approx(own(alone, 0), rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(mixed["embedding"][0], alone["embedding"][0], rtol=1e-5, atol=1e-6)
    assert set(own(mixed, 1)) == {1000}


def test_lists_are_embeddings_and_own_terms(trained: Any) -> None:
    there, folder, document = trained
    customers = [f"customer {i}" for i in range(10)] + ["nobody"]
    query = asked(signature(folder, "query_model"), customers)
    found = asked(signature(folder, "saved_model"), customers)
    ids = np.array(document["catalogue"], np.int64)
    columns = {
        name: np.array([there.products[str(product)][name] for product in ids], object)
        for name in ("stratbuy_domain_desc", "mge_main_cat_desc")
    }
    call = signature(folder, "candidate_model")
    candidates = call(product_id=tf.constant(ids), **{name: tf.constant(c) for name, c in columns.items()})
    scores = query["embedding"].astype(np.float64) @ candidates["embedding"].numpy().astype(np.float64).T
    for row in range(len(customers)):
        for product, score in own(query, row).items():
            scores[row, ids == product] += score
        best = np.argsort(-scores[row], kind="stable")[:5]
        np.testing.assert_array_equal(found["product_ids"][row], ids[best])
        np.testing.assert_allclose(found["scores"][row], scores[row, best], rtol=1e-4, atol=1e-5)
    recall = np.mean(
        [
            row["product_id"] in found["product_ids"][customers.index(row["cust_person_id"])]
            for row in there.rows["test"]
            if row["cust_person_id"] in customers
        ]
    )
    assert recall > 0.75  # five of twelve by chance: .42; four purchases of five are of three favourites


def test_a_new_product_has_an_embedding(trained: Any) -> None:
    _, folder, _ = trained
    call = signature(folder, "candidate_model")
    text = {"stratbuy_domain_desc": tf.constant(["category 1"]), "mge_main_cat_desc": tf.constant(["new"])}
    found = call(product_id=tf.constant([5], tf.int64), **text)["embedding"].numpy()
    assert np.isfinite(found).all()


def test_the_same_seed_gives_the_same_model(trained: Any, tmp_path: Path) -> None:
    there, _, document = trained
    again = without_export(there.options(tmp_path / "model", feature_config=CONFIG, epochs=3))
    assert again["model_version"] == document["model_version"]
    assert again["metrics"] == document["metrics"]


def test_a_warm_start_carries_the_towers(trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, folder, document = trained
    settings = {"epochs": 1, "learning_rate": 1e-6, "warm_start_from": str(folder)}
    again = without_export(there.options(tmp_path / "model", feature_config=CONFIG, **settings))
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["query", "Dense", "layers", "carried"] in said  # those of the history too, without a "but"
    metrics = [found["metrics"]["test_metrics"]["test_recall_5"] for found in (document, again)]
    assert metrics[1] == pytest.approx(metrics[0], abs=0.03)


def test_queries_that_change_from_row_to_row(shop: Shop, tmp_path: Path) -> None:
    config = (
        Path(CONFIG)
        .read_text(encoding="utf-8")
        .replace("- {kind: history}", "- {kind: history}\n    - {kind: temporal, name: timestamp}")
    )
    with pytest.raises(InputError, match="feature of kind history"):
        train(shop.options(tmp_path / "model", feature_config=config))
    assert not (tmp_path / "model").exists()


def test_towers_in_bfloat16(shop: Shop, tmp_path: Path) -> None:
    document = train(shop.options(tmp_path / "model", feature_config=CONFIG, epochs=2, precision="bfloat16"))
    assert document["metrics"]["test_metrics"]["test_recall_5"] > 0.75  # by chance .42


@pytest.mark.parametrize("flag", [{"loss": "in-batch"}, {"jit_compile": True}])
def test_what_a_history_cannot_have(shop: Shop, tmp_path: Path, flag: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"--{next(iter(flag)).replace('_', '-')}"):
        train(shop.options(tmp_path / "model", feature_config=CONFIG, **flag))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("method", ["temporal", "random"])
def test_a_shop_where_nobody_comes_back(shop: Shop, tmp_path: Path, method: str) -> None:
    """One purchase each: there is no pair to learn repeats from, and customers of one product have none to hide."""
    there = in_time(shop, tmp_path / "examples")
    rows = {
        split: [{**row, "cust_person_id": f"{split} {i}"} for i, row in enumerate(of_split)]
        for split, of_split in there.rows.items()
    }
    for split, of_split in rows.items():
        write_shard(tmp_path / "examples" / split / "part-00000-of-00001.tfrecord.gz", of_split)
    document = json.loads(Path(there.metadata).read_text(encoding="utf-8"))
    document["split"] = {"method": method}
    Path(there.metadata).write_text(json.dumps(document), encoding="utf-8")
    vocabularies = {"format_version": 1, "rows": len(rows["train"]), "features": vocabulary(rows["train"])}
    (tmp_path / "vocabularies.json").write_text(json.dumps(vocabularies), encoding="utf-8")
    alone = there._replace(vocabularies=str(tmp_path / "vocabularies.json"))
    found = train(alone.options(tmp_path / "model", feature_config=CONFIG, epochs=2))
    assert 0.3 < found["metrics"]["test_metrics"]["test_recall_5"] < 0.6  # nobody is known: by chance .42


@pytest.mark.slow
def test_two_devices_train_a_history_like_one(shop: Shop, tmp_path: Path) -> None:
    program = (
        "import json, sys; from trainer_image.options import Options; from trainer_image.train import train; "
        "import tensorflow as tf; cpu = tf.config.list_physical_devices('CPU')[0]; "
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1])); "
        "train(Options(**json.loads(sys.argv[2])))"
    )
    metrics = []
    for devices in (1, 2):
        settings = {"epochs": 3, "batch_size": 100 // devices, "lr_scaling": "none", "learning_rate": 0.001}
        options = shop.options(tmp_path / f"model-{devices}", feature_config=CONFIG, **settings)
        command = [sys.executable, "-c", program, str(devices), json.dumps(asdict(options))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        document = json.loads(Path(options.output_path, "model_metadata.json").read_text(encoding="utf-8"))
        metrics.append(document["metrics"]["test_metrics"])
    assert metrics[1] == pytest.approx(
        metrics[0], abs=0.03
    )  # of 200 rows: what was hidden is the same, rounding is not


def test_a_run_that_sigterm_ended_goes_on_to_the_same_model(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM is seen after some steps; what is hidden depends on the number of the step, which goes on."""
    there, _, document = trained
    options = there.options(tmp_path / "model", feature_config=CONFIG, epochs=3, checkpoint_minutes=0.0)
    chunk = loop.train

    def interrupted(*arguments: Any) -> None:
        chunk(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train", interrupted)
        with pytest.raises(Preempted):
            train(options)
    assert "continues from" in capsys.readouterr().out
    assert not (tmp_path / "model").exists()
    assert without_export(options)["model_version"] == document["model_version"]
