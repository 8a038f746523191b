"""The compiled pipeline on a small log, submitted to the local Vertex AI server and run there to the release."""

import json
from pathlib import Path

import pytest

from compile import compile_pipeline
from pipelines.machines import Machine
from pipelines.steps import Settings
from tests.integration.compiled_runs import REPOSITORY, path_of, submit
from tests.integration.sums import tasks
from tests.servers.vertex import VertexServer

pytestmark = pytest.mark.slow

STEPS = ["data-extractor", "vocab-builder", "trainer", "evaluator", "exporter"]


def test_a_wrong_config_fails_and_the_right_one_is_released(
    running_vertex: VertexServer, small_log: tuple[str, str], tmp_path: Path
) -> None:
    bucket = running_vertex.state.folder / "bucket"
    for log in small_log:
        (bucket / Path(log).name).write_bytes(Path(log).read_bytes())
    config = (REPOSITORY / "feature_config.yaml").read_text(encoding="utf-8")
    parameters = {
        "purchases": "gs://bucket/purchases.parquet",
        "products": "gs://bucket/products.parquet",
        "feature_config": config.replace("kind: id, name: cust_person_id", "kind: ids, name: cust_person_id"),
        "epochs": 2,
        "batch_size": 256,
        "warmup_steps": 5,
        "top_k": 10,
        "ks": [5, 10],
        "must_beat": "none",
    }
    submit(running_vertex, "wrong", parameters)
    states = dict.fromkeys(STEPS, "NOT_TRIGGERED") | {"data-extractor": "FAILED"}
    assert tasks(running_vertex, "wrong") == states
    assert "cust_person_id" in running_vertex.logs("wrong")

    job = submit(running_vertex, "right", {**parameters, "feature_config": config})
    assert tasks(running_vertex, "right") == dict.fromkeys(STEPS, "SUCCEEDED"), running_vertex.logs("right")[-4000:]
    evaluation = json.loads((path_of(running_vertex, job, "evaluator", "evaluation") / "evaluation.json").read_text())
    release = path_of(running_vertex, job, "exporter", "release")
    verdict = json.loads((release / "release.json").read_text())["verdict"]
    assert verdict == evaluation["verdict"]
    assert verdict["promote"], verdict
    assert (release / "saved_model/saved_model.pb").exists()
    details = {detail["taskName"]: detail for detail in job["jobDetail"]["taskDetails"]}
    measured = details["evaluator"]["outputs"]["metrics"]["artifacts"][0]["metadata"]
    assert measured["recall_10"] == evaluation["metrics"]["model"]["recall_10"]["value"]
    assert path_of(running_vertex, job, "evaluator", "report").read_text().startswith("<!doctype html>")

    # One component alone, on data that is there, with another config.
    examples = details["data-extractor"]["outputs"]["examples"]["artifacts"][0]["uri"]
    narrow = "\n".join(line for line in config.splitlines() if "name: city" not in line)
    again = submit(
        running_vertex, "again", {"examples": examples, "feature_config": narrow}, "reruns/vocab-builder.json"
    )
    assert tasks(running_vertex, "again") == {"importer": "SUCCEEDED", "vocab-builder": "SUCCEEDED"}
    found, before = (
        json.loads(path_of(running_vertex, run, "vocab-builder", "vocabularies").read_text()) for run in (again, job)
    )
    assert set(before["features"]) - set(found["features"]) == {"city"}
    assert found["features"]["cust_person_id"] == before["features"]["cust_person_id"]

    # Another one on two machines, which train together as a custom job.
    machines = Settings(machine=Machine(machine_type="n1-standard-8", replicas=2))
    compile_pipeline(machines, output=str(tmp_path / "pipeline.json"))
    vocabularies = details["vocab-builder"]["outputs"]["vocabularies"]["artifacts"][0]["uri"]
    made = {"examples": examples, "vocabularies": vocabularies}
    options = {name: parameters[name] for name in ("epochs", "batch_size", "warmup_steps", "top_k")}
    wide = submit(
        running_vertex, "wide", {**made, **options, "feature_config": config}, str(tmp_path / "reruns/trainer.json")
    )
    (name,) = [name for name in running_vertex.resources if "/customJobs/" in name]
    assert wide["state"] == "PIPELINE_STATE_SUCCEEDED", running_vertex.logs(name)[-4000:]
    assert len(running_vertex.resources[name]["jobSpec"]["workerPoolSpecs"]) == 2
    document = json.loads((path_of(running_vertex, wide, "trainer", "model") / "model_metadata.json").read_text())
    assert document["hyperparameters"]["replicas"] == 2
    assert running_vertex.logs(name).count("All 2 workers are here") == 2
