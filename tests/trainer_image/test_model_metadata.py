"""model_metadata.json of a training: what it says of its files, and that one wrong thing inside is one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common import model_metadata, saved_models
from components.common.errors import InputError
from components.evaluator import report
from components.evaluator.models import Model
from components.evaluator.plots import curves
from components.exporter.embeddings import restricts
from tests.mutations import REMOVED, mutations, refusal
from tests.toy_shops import Shop
from tests.trainings import Trainings
from trainer_image import warm_start

# What the Exporter and the Evaluator lean on: there nothing else passes.
NEEDED = {("model_version",), ("catalogue",), ("files", "weights.npz"), ("made_from", "examples")}


@pytest.fixture(scope="module")
def document(trainings: Trainings, shop: Shop) -> dict[str, Any]:
    found = {key: value for key, value in trainings(shop).document.items() if key != "fingerprint"}
    catalogue, curve = found["catalogue"][:2], found["training"]["curve"][:2]
    config = {name: {**tower, "features": tower["features"][-2:]} for name, tower in found["feature_config"].items()}
    difference = {"value": 0.1, "low": -0.1, "high": 0.3}
    return {
        **found,
        "catalogue": catalogue,
        "feature_config": config,
        "hyperparameters": {"epochs": 4, "embedding_dims": {"customer": "64D"}},
        "metrics": {"best_epoch": 1, "validation_metrics": {"validation_recall_5": 0.5}, "test_metrics": {}},
        "training": {"curve": curve, "chance_loss": 1.5, "seconds": 2.5},
        "refit": {"through": "validation", "seconds": 1.5},
        "history": {"through": "validation", "purchases": 3},
        "metadata_impact": {"removed": ["a"], "recall_10": {"with": 0.2, "without": 0.1, "difference": difference}},
        "made_from": {"examples": "ab", "vocabularies": "cd"},
    }


def test_every_wrong_value_is_one_sentence(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or nobody minds: what reads a document that passes does not stumble over it."""
    monkeypatch.setattr(curves, "chart", lambda *_, **__: "")  # what it draws, takes its time
    path = tmp_path / "model_metadata.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert model_metadata.read_metadata(str(tmp_path)) == document
    use(document)
    for place, value, changed in mutations(document):
        path.write_text(json.dumps(changed), encoding="utf-8")
        said, found = refusal(lambda: model_metadata.read_metadata(str(tmp_path)))
        assert "\n" not in said
        if said:
            assert said.startswith(f"{path}, field ")
            continue
        assert place not in NEEDED or (value is REMOVED and place[0] in ("files", "made_from")) or value == "x", place
        use(found)


def use(document: dict[str, Any]) -> None:
    """What evaluation and release read of it."""
    model = Model(document, None, None)  # type: ignore[arg-type]
    assert model.known_splits
    curves.training(document.get("training", {}))
    report._towers(document.get("feature_config", {}))
    report._flat(document.get("hyperparameters", {}))
    for name, found in document.get("metadata_impact", {}).items():
        if name.startswith("recall_"):
            report._impact(name, found)
    restricts(document.get("feature_config", {}))


def test_no_change_goes_unnoticed(trainings: Trainings, shop: Shop, tmp_path: Path) -> None:
    written = json.loads((trainings(shop).model / "model_metadata.json").read_text(encoding="utf-8"))
    assert written == trainings(shop).document
    changed = {**written, "catalogue": written["catalogue"][:-1]}
    (tmp_path / "model_metadata.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(InputError, match=r"field fingerprint: found .* it was changed after it was written"):
        model_metadata.read_metadata(str(tmp_path))


def test_the_files_of_a_model_are_its_own(trainings: Trainings, shop: Shop, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trainings(shop).model, model)
    metadata = model_metadata.read_metadata(str(model))
    assert set(metadata["files"]) == {"weights.npz"}  # this training writes no SavedModels
    model_metadata.expect_files(str(model), metadata)
    (model / "logs" / "note.txt").write_text("mine")
    model_metadata.expect_files(str(model), metadata)
    with np.load(model / "weights.npz") as archive:
        weights = dict(archive)
    np.savez(model / "weights.npz", **{**weights, "query_dense_0/bias": weights["query_dense_0/bias"] + 1})
    with pytest.raises(InputError, match=r"weights\.npz: found other content"):
        model_metadata.expect_files(str(model), metadata)
    with pytest.raises(InputError, match=r"weights\.npz: found other content"):
        warm_start._described(str(model))
    (model / "weights.npz").unlink()
    with pytest.raises(InputError, match=r"weights\.npz: found no such file"):
        model_metadata.expect_files(str(model), metadata)


def test_a_model_of_an_earlier_version_names_no_files(tmp_path: Path) -> None:
    document = {"model_version": "v1", "catalogue": ["1"]}
    (tmp_path / "model_metadata.json").write_text(json.dumps(document), encoding="utf-8")
    assert saved_models.read_metadata(str(tmp_path)) == document
    model_metadata.expect_files(str(tmp_path), document)
