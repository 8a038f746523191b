"""`make tune` takes a run's data, features and settings."""

import json
from pathlib import Path

from components.common import feature_config as fc
from demo.tune import options_of


def write_run(folder: Path, **hyperparameters: object) -> str:
    model = folder / "trainer" / "model"
    model.mkdir(parents=True)
    config = fc.load("feature_config_history.yaml").model_dump(mode="json")
    document = {"hyperparameters": hyperparameters, "feature_config": config}
    (model / "model_metadata.json").write_text(json.dumps(document), encoding="utf-8")
    return str(folder)


def test_what_the_run_was_told(tmp_path: Path) -> None:
    told = {"epochs": 9, "batch_size": 128, "learning_rate": 0.02, "warmup_steps": 3, "seed": 5, "top_k": 50}
    run = write_run(tmp_path / "recs", **told, replicas=1, embedding_dims={})
    options = options_of(run, "elsewhere")
    assert {name: getattr(options, name) for name in told} == told
    assert options.metadata_path == f"{run}/data-extractor/examples/metadata.json"
    assert options.vocabularies_path == f"{run}/vocab-builder/vocabularies"
    assert options.output_path == "elsewhere"
    assert fc.load(options.feature_config) == fc.load("feature_config_history.yaml")
