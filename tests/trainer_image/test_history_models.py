"""Kind history: what trained models answer, and that a training gives the same model again."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toy_shops import Shop, in_time
from tests.trainer_image.served_history import CONFIG, asked, own, signature
from tests.trainings import without_export
from trainer_image.train import train

import tensorflow as tf  # isort: skip  # after trainer_image, which chooses Keras

from trainer_image import loop  # isort: skip
from trainer_image.preemption import Preempted  # isort: skip


@pytest.fixture(scope="module", params=["temporal", "random"])
def trained(request: pytest.FixtureRequest, shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    there = in_time(shop, folder / "examples") if request.param == "temporal" else shop
    document = train(there.options(folder / "model", feature_config=CONFIG, epochs=3))
    return there, folder / "model", document


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
