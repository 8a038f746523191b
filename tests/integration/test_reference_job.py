"""The job of the reference trainer's manual, on the local Vertex AI server, in a folder that holds what the image does.

The job is posted as its manual has it, but for the batch and the number of products to return: the shop is too small.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.common import outputs
from components.common.saved_models import read_metadata
from tests.integration.sums import PARENT, curl
from tests.servers.vertex import VertexServer
from tests.toy_shops import Shop

SECONDS = 3600
DATA = {
    "--tfrecords-path": "gs://my-bucket/all_data",
    "--vocabularies-path": "gs://my-bucket/vocabularies.json",
    "--metadata-path": "gs://my-bucket/metadata.json",
    "--output-path": "gs://my-bucket/models",
}


def job(*arguments: str, command: tuple[str, ...] = ("python", "main.py")) -> dict[str, Any]:
    machine = {"machineType": "n1-standard-8", "acceleratorType": "NVIDIA_TESLA_V100", "acceleratorCount": 1}
    container = {
        "imageUri": "europe-west4-docker.pkg.dev/my-project/metro-recs/trainer:latest",
        "command": list(command),
        "args": list(arguments),
    }
    pool = {"machineSpec": machine, "replicaCount": 1, "containerSpec": container}
    return {"displayName": "trainer-metadata", "jobSpec": {"workerPoolSpecs": [pool]}}


def run(server: VertexServer, document: dict[str, Any]) -> tuple[str, str]:
    """The state in which a job ends, and what it printed."""
    status, created = curl(server, f"v1/{PARENT}/customJobs", "--json", json.dumps(document))
    assert status == 200, created
    server.wait(SECONDS)
    return server.resources[created["name"]]["state"], server.logs(created["name"])


def test_the_command_is_there_and_another_is_not(running_vertex: VertexServer) -> None:
    state, said = run(running_vertex, job("--help"))
    assert state == "JOB_STATE_SUCCEEDED", said
    assert "--tfrecords-path" in said
    state, said = run(running_vertex, job(command=("python", "-c", "import pipelines")))
    assert state == "JOB_STATE_FAILED"
    assert "No module named 'pipelines'" in said


@pytest.mark.slow
def test_it_trains_twice_with_one_output_path(running_vertex: VertexServer, shop: Shop) -> None:
    bucket = running_vertex.state.folder / "my-bucket"
    bucket.mkdir()
    shutil.copytree(shop.examples, bucket / "all_data")
    for path in (shop.vocabularies, shop.metadata):
        (bucket / Path(path).name).write_bytes(Path(path).read_bytes())
    paths = [part for pair in DATA.items() for part in pair]
    given = [*paths, "--epochs", "2", "--learning-rate", "0.001", "--batch-size", "1024", "--top-k", "5"]

    state, said = run(running_vertex, job(*given))
    assert state == "JOB_STATE_SUCCEEDED", said[-4000:]
    models = bucket / "models"
    first = files(models)
    assert {"model_metadata.json", "saved_model/saved_model.pb", "query_model/saved_model.pb"} <= first.keys()
    document = json.loads(first["model_metadata.json"])
    assert document["architecture"] == "two-tower"
    assert document["hyperparameters"]["embedding_dims"] == {
        "customer": "64D",
        "product": "32D",
        "category": "16D",
        "subcategory": "24D",
        "city": "16D",
    }

    state, said = run(running_vertex, job(*given, "--seed", "43"))
    assert state == "JOB_STATE_SUCCEEDED", said[-4000:]
    second = files(models)
    assert {name: second[name] for name in first} == first  # no file of the first was touched
    newest = Path(outputs.resolved(str(models)))
    assert newest.name == second["latest"].decode().strip()
    assert f"written to gs://my-bucket/models/{newest.name}" in said
    assert (newest / "saved_model" / "saved_model.pb").exists()
    assert read_metadata(str(newest))["model_version"] != document["model_version"]
    assert not files(bucket / "models.checkpoints")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
