"""The Trainer as a Vertex AI custom job: what the service would get, and what its machines would run."""

import json
import os
import sys
from pathlib import Path

import pytest
from google.cloud import aiplatform_v1
from google.protobuf import json_format
from google_cloud_pipeline_components.v1.custom_job.component import custom_training_job

import compile as compiler
from components.data_extractor.extract import extract
from components.vocab_builder.build import build_vocabularies
from pipelines.machines import Machine
from pipelines.steps import Settings
from tests.pipelines.specs import CLUSTER, CONFIG, trainer_of
from tests.trainer_image.cluster import run_cluster

# What Vertex AI tells the machines of a job beside TF_CONFIG, then the container's command.
REPLICA = """
import json, os, sys
task = json.loads(os.environ["TF_CONFIG"])["task"]
pool = "workerpool0" if task["type"] == "chief" else "workerpool1"
os.environ["CLUSTER_SPEC"] = json.dumps({"environment": "cloud", "task": {"type": pool, "index": task["index"]}})
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("component", ["", "trainer"])
def test_a_machine_type_makes_the_trainer_a_custom_job(component: str) -> None:
    plain = compiler.spec("eu.pkg.dev/shop", "v7", component=component)
    document = compiler.spec("eu.pkg.dev/shop", "v7", component=component, settings=CLUSTER)
    job = submitted(document, "{{$}}")
    json_format.ParseDict(job, aiplatform_v1.CustomJob.pb()())
    pools = job["job_spec"]["worker_pool_specs"]
    assert [pool["replica_count"] for pool in pools] == [1, 2]
    for pool in pools:
        assert pool["machine_spec"] == {
            "machine_type": "a2-highgpu-2g",
            "accelerator_type": "NVIDIA_TESLA_A100",
            "accelerator_count": 2,
        }
        container = pool["container_spec"]
        assert container["image_uri"] == trainer_of(plain)["image"]
        assert container["command"] == trainer_of(plain)["command"]
        assert container["args"] == trainer_of(plain)["args"]
    scheduling = job["job_spec"]["scheduling"]
    assert (scheduling["strategy"], scheduling["restart_job_on_worker_restart"]) == ("SPOT", True)
    assert job["job_spec"]["service_account"] == "{{$.pipeline_service_account}}"
    # Artifacts and parameters come and go as they do without it.
    before, after = (spec["components"]["comp-trainer"] for spec in (plain, document))
    assert types_of(after["outputDefinitions"]["artifacts"]) == types_of(before["outputDefinitions"]["artifacts"])
    assert types_of(after["inputDefinitions"]["artifacts"]) == types_of(before["inputDefinitions"]["artifacts"])
    own, all_of_it = (types_of(each["inputDefinitions"]["parameters"]) for each in (before, after))
    assert own == {name: all_of_it[name] for name in own}
    assert not set(own) & set(custom_training_job.component_spec.inputs)  # which would be lost
    tasks = [spec["root"]["dag"]["tasks"] for spec in (plain, document)]
    assert tasks[0] == tasks[1]
    assert "resources" not in trainer_of(document)


def types_of(definitions: dict) -> dict[str, dict]:
    return {name: {**parts, "description": ""} for name, parts in definitions.items()}


def submitted(document: dict, executor_input: str = "{}") -> dict:
    """The custom job that the Trainer's task asks for: its payload, with every placeholder filled in."""
    payload = trainer_of(document)["args"][trainer_of(document)["args"].index("--payload") + 1]
    given = document["root"]["dag"]["tasks"]["trainer"]["inputs"]["parameters"]
    for name, parameter in document["components"]["comp-trainer"]["inputDefinitions"]["parameters"].items():
        placeholder = "{{$.inputs.parameters['" + name + "']}}"
        if placeholder not in payload:
            continue
        assert name not in given  # the pipeline leaves what is the job's to its defaults
        empty: object = {"STRUCT": {}, "LIST": []}.get(parameter["parameterType"])
        value = parameter.get("defaultValue", empty)
        payload = payload.replace(placeholder, value if isinstance(value, str) else json.dumps(value))
    return json.loads(payload.replace("{{$.json_escape[1]}}", json.dumps(executor_input)[1:-1]))


def test_one_machine_trains_as_a_custom_job_of_one_pool() -> None:
    machine = Machine(machine_type="n1-standard-8", accelerator="NVIDIA_TESLA_T4")
    job = submitted(compiler.spec(settings=Settings(machine=machine)))["job_spec"]
    assert len(job["worker_pool_specs"]) == 1
    assert job["scheduling"]["restart_job_on_worker_restart"] is False
    assert job["scheduling"]["strategy"] == "STANDARD"


@pytest.mark.slow
def test_its_replicas_train_one_model_together(
    small_log: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {name: str(tmp_path / name) for name in ("examples", "vocabularies", "model", "metrics", "output.json")}
    extract(purchases=small_log[0], products=small_log[1], output_path=paths["examples"], feature_config=CONFIG)
    build_vocabularies(examples=paths["examples"], output_path=paths["vocabularies"], feature_config=CONFIG)
    executor_input = {
        "inputs": {
            "artifacts": {name: artifact(paths, name) for name in ("examples", "vocabularies")},
            "parameterValues": {"feature_config": CONFIG, "epochs": 1, "batch_size": 128, "top_k": 5},
        },
        "outputs": {
            "artifacts": {name: artifact(paths, name) for name in ("model", "metrics")},
            "outputFile": paths["output.json"],
        },
    }
    job = submitted(compiler.spec(settings=CLUSTER), json.dumps(executor_input))
    commands = [pool["container_spec"]["command"] + pool["container_spec"]["args"] for pool in pools_of(job)]
    assert commands[0] == commands[1]
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(compiler.__file__).parent))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    chief, worker = run_cluster(REPLICA, 2, commands[0], chief=True)
    assert (chief.returncode, worker.returncode) == (0, 0), chief.stderr + worker.stderr
    written = json.loads(Path(paths["output.json"]).read_text())["artifacts"]
    trained = json.loads(Path(paths["model"], "model_metadata.json").read_text())
    assert trained["hyperparameters"]["replicas"] == 2
    assert written["model"]["artifacts"][0]["metadata"]["model_version"] == trained["model_version"]
    assert written["metrics"]["artifacts"][0]["metadata"]["best_epoch"] == 1


def artifact(paths: dict[str, str], name: str) -> dict:
    kinds = {"examples": "Dataset", "vocabularies": "Artifact", "model": "Model", "metrics": "Metrics"}
    found = {"name": name, "type": {"schemaTitle": f"system.{kinds[name]}"}, "uri": paths[name], "metadata": {}}
    return {"artifacts": [found]}


def pools_of(job: dict) -> list[dict]:
    return job["job_spec"]["worker_pool_specs"]
