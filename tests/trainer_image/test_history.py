"""Kind history: what is pooled, hidden and learned."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.errors import InputError
from tests.toy_shops import Shop, in_time, vocabulary, write_shard
from tests.trainer_image.served_history import CONFIG
from trainer_image.train import train

import tensorflow as tf  # isort: skip  # after trainer_image, which chooses Keras

from trainer_image import history, losses, repeats  # isort: skip
from trainer_image.history import Events  # isort: skip

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
