"""Every component alone, and the pipeline from the Trainer on: compiled, and run here as real processes.

Artifacts are imported from where they lie.
"""

import json
from pathlib import Path

import pytest

import compile as compiler
from components.common.errors import InputError
from pipelines import local
from pipelines.rerun import COMPONENTS
from pipelines.steps import RETRAINING, STEPS
from tests.components import fake_model
from tests.pipelines.specs import CONFIG

READS = {
    "data-extractor": {},
    "vocab-builder": {"examples": "system.Dataset"},
    "trainer": {"examples": "system.Dataset", "vocabularies": "system.Artifact"},
    "evaluator": {"model": "system.Model", "examples": "system.Dataset", "vocabularies": "system.Artifact"},
    "exporter": {"model": "system.Model", "examples": "system.Dataset", "evaluation": "system.Artifact"},
}
RETRAINING_READS = {"examples": "system.Dataset", "vocabularies": "system.Artifact"}


def run(name: str, folder: Path, **parameters: object) -> dict[str, str]:
    spec = folder / f"{name}.json"
    spec.write_text(json.dumps(compiler.spec(component=name)), encoding="utf-8")
    return local.run(str(spec), str(folder / "runs"), parameters)


@pytest.fixture
def examples(tmp_path: Path) -> str:
    return fake_model.write_examples(tmp_path / "examples")


def test_every_component_can_be_run_alone() -> None:
    assert list(READS) == list(COMPONENTS) == list(STEPS)


@pytest.mark.parametrize("name", READS)
def test_artifacts_are_imported_by_uri_and_the_rest_are_the_component_s_parameters(name: str) -> None:
    document = compiler.spec(component=name)
    imported = imports(document)
    assert dict(imported.values()) == READS[name]
    assert len(document["root"]["dag"]["tasks"]) == len(imported) + 1
    own = document["components"][f"comp-{name}"]["inputDefinitions"]
    assert set(own.get("artifacts", {})) == set(READS[name])
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == set(READS[name]) | set(own.get("parameters", {}))
    for parameter, expected in own.get("parameters", {}).items():
        assert parameters[parameter] == expected  # type, default and description
    assert all(parameters[uri]["parameterType"] == "STRING" for uri in READS[name])


def test_retraining_is_the_pipeline_from_the_trainer_on() -> None:
    whole, again = compiler.spec(), compiler.spec(component=RETRAINING)
    imported = imports(again)
    assert dict(imported.values()) == RETRAINING_READS
    known, tasks = whole["root"]["dag"]["tasks"], again["root"]["dag"]["tasks"]
    assert set(tasks) == {"trainer", "evaluator", "exporter", *imported}
    for name in ("trainer", "evaluator", "exporter"):
        assert tasks[name]["inputs"]["parameters"] == known[name]["inputs"]["parameters"]
        expected = {key: made_by(artifact) for key, artifact in known[name]["inputs"]["artifacts"].items()}
        found = {key: made_by(artifact) for key, artifact in tasks[name]["inputs"]["artifacts"].items()}
        # What the first two steps make is imported under its own name.
        expected = {key: key if task in ("data-extractor", "vocab-builder") else task for key, task in expected.items()}
        assert {key: imported[task][0] if task in imported else task for key, task in found.items()} == expected
        assert tasks[name].get("retryPolicy") == known[name].get("retryPolicy")
        assert not tasks[name]["cachingOptions"].get("enableCache", False)
        executor = f"exec-{name}"
        assert again["deploymentSpec"]["executors"][executor] == whole["deploymentSpec"]["executors"][executor]


def test_the_parameters_of_retraining_are_the_whole_pipeline_s() -> None:
    whole, again = (
        document["root"]["inputDefinitions"]["parameters"]
        for document in (compiler.spec(), compiler.spec(component=RETRAINING))
    )
    only_of_the_data = {
        *("purchases", "products", "split", "train_share", "validation_share", "catalogue_size", "min_purchases"),
        *("revenue_as_of", "thresholds", "previous_metadata", "temp_dataset", "location", "max_bytes_billed", "labels"),
        "beam_options",
    }
    assert set(again) == set(whole) - only_of_the_data | set(RETRAINING_READS)
    for name in set(again) - set(RETRAINING_READS):
        assert again[name] == whole[name]  # type, default and description
    for name in RETRAINING_READS:
        assert again[name]["parameterType"] == "STRING"
        assert again[name]["description"]


def imports(document: dict) -> dict[str, tuple[str, str]]:
    """The importers' tasks: the parameter that each takes its URI from, and the artifact's type."""
    executors = document["deploymentSpec"]["executors"]
    found = {}
    for name, task in document["root"]["dag"]["tasks"].items():
        component = document["components"][task["componentRef"]["name"]]
        if importer := executors[component["executorLabel"]].get("importer"):
            uri = task["inputs"]["parameters"]["uri"]["componentInputParameter"]
            found[name] = uri, importer["typeSchema"]["schemaTitle"]
    return found


def made_by(artifact: dict) -> str:
    """The task that makes an input."""
    return str(artifact["taskOutputArtifact"]["producerTask"])


@pytest.mark.parametrize("name", READS)
def test_what_was_asked_for_by_name_is_never_answered_by_a_cache(name: str) -> None:
    task = compiler.spec(component=name)["root"]["dag"]["tasks"][name]
    assert not task["cachingOptions"].get("enableCache", False)


@pytest.mark.slow
def test_vocab_builder_alone(examples: str, tmp_path: Path) -> None:
    made = run("vocab-builder", tmp_path, examples=examples, feature_config=CONFIG)
    features = json.loads(Path(made["vocab-builder.vocabularies"]).read_text())["features"]
    customers = features["cust_person_id"]
    assert dict(zip(customers["tokens"], customers["counts"], strict=True)) == {"ann": 4, "bob": 3, "cyd": 1}


@pytest.mark.slow
def test_evaluator_then_exporter_each_alone(examples: str, tmp_path: Path) -> None:
    model = fake_model.write_model(tmp_path / "model")
    vocabularies = fake_model.write_vocabularies(tmp_path / "vocabularies.json")
    made = run(
        "evaluator",
        tmp_path,
        model=model,
        examples=examples,
        vocabularies=vocabularies,
        ks=[1, 2],
        must_beat="none",
    )
    evaluation = json.loads(Path(made["evaluator.evaluation"], "evaluation.json").read_text())
    assert evaluation["metrics"]["model"]["recall_1"]["value"] == pytest.approx(2.75 / 6)  # ranked by hand
    made = run("exporter", tmp_path, model=model, examples=examples, evaluation=made["evaluator.evaluation"])
    release = json.loads(Path(made["exporter.release"], "release.json").read_text())
    assert release["verdict"] == evaluation["verdict"]


@pytest.mark.slow
def test_extractor_then_trainer_each_alone(small_log: tuple[str, str], tmp_path: Path) -> None:
    made = run("data-extractor", tmp_path, purchases=small_log[0], products=small_log[1], feature_config=CONFIG)
    examples = made["data-extractor.examples"]
    made = run("vocab-builder", tmp_path, examples=examples, feature_config=CONFIG)
    made = run(
        "trainer",
        tmp_path,
        examples=examples,
        vocabularies=made["vocab-builder.vocabularies"],
        feature_config=CONFIG,
        epochs=1,
        batch_size=256,
        top_k=5,
    )
    trained = json.loads(Path(made["trainer.model"], "model_metadata.json").read_text())
    assert trained["hyperparameters"]["epochs"] == 1
    assert Path(made["trainer.model"], "saved_model", "saved_model.pb").exists()


def test_an_unknown_component_is_refused() -> None:
    with pytest.raises(ValueError, match="component: found 'trainr', expected one of data-extractor, vocab-builder"):
        compiler.spec(component="trainr")


def test_a_missing_artifact_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found nothing for examples"):
        run("vocab-builder", tmp_path, feature_config=CONFIG)
