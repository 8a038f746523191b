"""`make tune` takes the newest run's data, features and settings."""

import json
from pathlib import Path

import pytest

from components.common import feature_config as fc
from components.common.errors import InputError
from demo.tune import newest, options_of


def write_run(folder: Path, **hyperparameters: object) -> str:
    model = folder / "trainer" / "model"
    model.mkdir(parents=True)
    config = fc.load("feature_config_history.yaml").model_dump(mode="json")
    document = {"hyperparameters": hyperparameters, "feature_config": config}
    (model / "model_metadata.json").write_text(json.dumps(document), encoding="utf-8")
    return str(folder)


def test_the_newest_run_with_a_model(tmp_path: Path) -> None:
    for run in ("recs-2026-01-01", "recs-2026-01-03", "recs-2026-01-02"):
        write_run(tmp_path / run)
    (tmp_path / "recs-2026-01-04" / "data-extractor").mkdir(parents=True)  # ended before there was a model
    assert newest(str(tmp_path)) == f"{tmp_path}/recs-2026-01-03"


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found no model, expected that of a run. Run `make run` first"):
        newest(str(tmp_path))


def test_what_the_run_was_told(tmp_path: Path) -> None:
    told = {"epochs": 9, "batch_size": 128, "learning_rate": 0.02, "warmup_steps": 3, "seed": 5, "top_k": 50}
    run = write_run(tmp_path / "recs", **told, replicas=1, embedding_dims={})
    options = options_of(run, "elsewhere")
    assert {name: getattr(options, name) for name in told} == told
    assert options.metadata_path == f"{run}/data-extractor/examples/metadata.json"
    assert options.vocabularies_path == f"{run}/vocab-builder/vocabularies"
    assert options.output_path == "elsewhere"
    assert fc.load(options.feature_config) == fc.load("feature_config_history.yaml")
