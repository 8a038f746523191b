"""The model that is trained once more, on training and validation split together.

The oracle is a shop whose training split holds both: trained on it from the beginning, the weights are the same.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common import example_set
from components.common import feature_config as fc
from components.common.errors import InputError
from components.common.vocabularies import read_vocabularies
from tests.toy_shops import Shop, moved
from tests.trainings import Trainings, without_export
from trainer_image import cache, inputs, loop, refit, validation
from trainer_image.checkpoint import Checkpoints
from trainer_image.inputs import UNKNOWN
from trainer_image.model import Encoders
from trainer_image.train import train

HISTORY = """
query: {features: [{kind: history}], layers: [8]}
candidate: {features: [{kind: id, name: product_id, dim: 8}], layers: [8]}
"""
# A refit has the warm-up of the first training, here the tenth of 19 steps; the oracle has more steps.
ONE: dict[str, Any] = {"epochs": 1, "warmup_steps": 1, "learning_rate": 0.03}


@pytest.fixture(scope="module")
def growing(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop where a product and a customer come in validation."""
    rows = [dict(row) for row in shop.rows["validation"]]
    for row in rows[::20]:
        row["product_id"] = 99
    for row in rows[5::20]:
        row["cust_person_id"] = "late"
    return moved(shop, tmp_path_factory.mktemp("growing"), {**shop.rows, "validation": rows})


@pytest.fixture(scope="module")
def both(growing: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Its training and validation split in one, but for the product that nobody has learned of."""
    rows = [row for split in ("train", "validation") for row in growing.rows[split] if row["product_id"] != 99]
    return moved(growing, tmp_path_factory.mktemp("both"), {**growing.rows, "train": rows})


def weights(folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(folder / "weights.npz"))


def test_together_by_hand(growing: Shop) -> None:
    """Every known row of both splits is counted, under its customer and product."""
    config = fc.load("feature_config.yaml")
    vocabularies = read_vocabularies(growing.vocabularies)
    encoders = Encoders(config, vocabularies, growing.products, {"vocabularies": "v", "metadata": "m"})
    with cache.opened(1 << 30) as memory, example_set.opened(growing.examples) as examples:
        splits = [
            inputs.load(examples.part(split), encoders.query, encoders.catalogue, memory)
            for split in ("train", "validation")
        ]
        assert UNKNOWN in splits[1].product
        before = [[column.copy() for column in (*split.queries.values(), *split[1:])] for split in splits]
        found = refit.together(splits, len(encoders.catalogue), memory)
        for split, columns in zip(splits, before, strict=True):
            for column, kept in zip((*split.queries.values(), *split[1:]), columns, strict=True):
                np.testing.assert_array_equal(column, kept)
        customers = vocabularies["cust_person_id"]["tokens"]
        place = {token: number for number, token in enumerate(customers, 1)}
        expected = Counter(
            (place.get(row["cust_person_id"], 0), str(row["product_id"]))
            for split in ("train", "validation")
            for row in growing.rows[split]
            if row["product_id"] != 99
        )
        customer = found.queries["cust_person_id"][found.pair_query()]
        product = [encoders.catalogue[index] for index in found.product]
        counted: Counter[tuple[int, str]] = Counter()
        for one, other, times in zip(customer.tolist(), product, found.times.tolist(), strict=True):
            counted[one, other] += times
        assert counted == expected
        assert 0 in customer  # of "late" the model knows no more than that it is new


@pytest.mark.parametrize("config", ["feature_config.yaml", HISTORY])
def test_it_is_trained_on_both(growing: Shop, both: Shop, trainings: Trainings, config: str) -> None:
    trained = {
        "plain": trainings(growing, feature_config=config, **ONE),
        "refitted": trainings(growing, feature_config=config, **ONE, refit=True),
        "both": trainings(both, feature_config=config, **ONE, history_through="train"),
    }
    plain, document = trained["plain"].document, trained["refitted"].document
    found, expected, first = (weights(trained[name].model) for name in ("refitted", "both", "plain"))
    towers = [name for name in expected if "repeats" not in name]
    assert towers
    for name in towers:
        np.testing.assert_array_equal(found[name], expected[name])
    assert any((found[name] != first[name]).any() for name in towers)
    # What is said of it: validation is of the first training, the test of what is finished.
    assert document["refit"]["through"] == "validation"
    assert document["refit"]["rows"] == 2000 + 400 - 20
    assert len(document["refit"]["curve"]) == document["metrics"]["best_epoch"] == 1
    assert "validation_recall_5" not in document["refit"]["curve"][0]
    assert document["training"]["rows"] == 2000
    assert document["metrics"]["validation_metrics"] == plain["metrics"]["validation_metrics"]
    assert document["metrics"]["test_metrics"] != plain["metrics"]["test_metrics"]
    assert document["model_version"] != plain["model_version"]
    assert document["hyperparameters"] == plain["hyperparameters"]
    if config == HISTORY:
        assert document["history"] == {"through": "validation", "purchases": 2380}
        epochs = document["training"]["repeats"]["best_epoch"]
        assert len(document["refit"]["repeats"]["curve"]) == document["refit"]["repeats"]["best_epoch"] == epochs
    for each in trained.values():
        assert [path.name for path in each.model.parent.iterdir()] == ["model"]
    # Both curves lie beside the weights.
    curves = [trained["refitted"].model / "logs" / name for name in ("curve.csv", "refit/curve.csv")]
    headers = [path.read_text(encoding="utf-8").splitlines()[0] for path in curves]
    assert ["validation_recall_5" in header for header in headers] == [True, False]


def test_a_history_that_ends_before_what_was_learned_is_refused(growing: Shop, tmp_path: Path) -> None:
    options = growing.options(tmp_path / "model", feature_config=HISTORY, refit=True, history_through="train")
    with pytest.raises(InputError, match="--history-through: found train, expected validation, from which --refit"):
        train(options)


def test_a_warm_start_from_it_says_what_it_knows(
    growing: Shop, tmp_path: Path, trainings: Trainings, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it has learned of the validation split makes validation Recall look better than it is."""
    config = "feature_config.yaml"
    for refitted, changes in ((False, {}), (True, {"refit": True})):
        model = trainings(growing, feature_config=config, **ONE, **changes).model
        capfd.readouterr()
        without_export(growing.options(tmp_path / f"after {refitted}", epochs=1, warm_start_from=str(model)))
        assert ("it has learned from its validation split too" in capfd.readouterr().out) is refitted


def test_a_refit_that_collapses_says_so(
    growing: Shop, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "COLLAPSED", 10.0)  # as if any two embeddings were one
    without_export(growing.options(tmp_path / "model", epochs=1, refit=True))
    said = capfd.readouterr().err
    assert said.count("the model has collapsed") == 2, said  # the first training, and the refit


def test_a_refit_that_was_ended_goes_on(growing: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the first training is repeated, nor the second one's first epoch."""
    whole = without_export(growing.options(tmp_path / "whole", epochs=3, patience=3, refit=True))
    assert whole["metrics"]["best_epoch"] > 1
    options, end_epoch, trained = (
        growing.options(tmp_path / "model", epochs=3, patience=3, refit=True),
        loop.end_epoch,
        0,
    )

    def counted(*arguments: Any) -> None:
        nonlocal trained
        trained += 1
        if trained == 5:  # the second of the refit
            raise KeyboardInterrupt
        end_epoch(*arguments)

    monkeypatch.setattr(loop, "end_epoch", counted)
    monkeypatch.setattr(Checkpoints, "is_due", lambda _, epoch_ended: epoch_ended)
    with pytest.raises(KeyboardInterrupt):
        without_export(options)
    assert not (tmp_path / "model").exists()
    again = without_export(options)
    assert trained == 5 + whole["metrics"]["best_epoch"] - 1
    assert again["model_version"] == whole["model_version"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "whole"]


def test_other_queries_in_validation(growing: Shop, tmp_path: Path) -> None:
    """With a history, a customer has one query: what changes is refused before anything is trained."""
    rows = [{**row, "city": "Köln"} for row in growing.rows["validation"]]
    there = moved(growing, tmp_path / "shop", {**growing.rows, "validation": rows})
    config = HISTORY.replace("{kind: history}", "{kind: history}, {kind: text, name: city}")
    without_export(there.options(tmp_path / "first", feature_config=config, epochs=1))
    with pytest.raises(InputError, match="different queries of 41 customers"):
        train(there.options(tmp_path / "model", feature_config=config, epochs=1, refit=True))
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "model.checkpoints").exists()


def test_a_run_may_go_on_with_or_without_it(shop: Shop) -> None:
    plain, refitted = shop.options("unused"), shop.options("unused", refit=True)
    assert plain.fixed == refitted.fixed
    assert plain.hyperparameters == refitted.hyperparameters


def test_the_document_is_json(growing: Shop, trainings: Trainings) -> None:
    model, document = trainings(growing, feature_config="feature_config.yaml", **ONE, refit=True)
    written = json.loads((model / "model_metadata.json").read_text(encoding="utf-8"))
    assert written == document
