"""The Exporter as a task on the local Vertex AI server: its release registered and deployed, by the compiled spec."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.exporter.vertex.batch import batch
from tests.components import fake_model
from tests.components.exporter.releases import NO, write_evaluation
from tests.integration.compiled_runs import path_of, submit
from tests.integration.sums import PARENT, tasks
from tests.servers.vertex import VertexServer

pytestmark = pytest.mark.slow

SEND: dict[str, Any] = {
    "project": "my-project",
    "region": "europe-west3",
    "model_name": "recs",
    "serving_image": "europe-west3-docker.pkg.dev/my-project/metro-recs/serving:v1",
    "endpoint_name": "shop",
    "traffic": 20,
    "index_name": "recs",
    "index_endpoint_name": "search",
}


def test_a_release_is_registered_and_deployed_and_one_that_the_gate_refused_is_not(
    running_vertex: VertexServer, tmp_path: Path
) -> None:
    bucket = running_vertex.state.folder / "bucket"
    running_vertex.environment["VERTEX_ENDPOINT"] = running_vertex.url
    fake_model.write_examples(bucket / "examples")
    fake_model.write_model(bucket / "model")
    shutil.copytree(write_evaluation(tmp_path / "yes"), bucket / "yes")
    shutil.copytree(write_evaluation(tmp_path / "no", verdict=NO), bucket / "no")
    inputs = {"model": "gs://bucket/model", "examples": "gs://bucket/examples"}

    submit(running_vertex, "no", {**inputs, **SEND, "evaluation": "gs://bucket/no"}, "reruns/exporter.json")
    assert tasks(running_vertex, "no")["exporter"] == "SUCCEEDED", running_vertex.logs("no")[-4000:]
    assert "Nothing is registered, deployed or indexed. The gate said no: Popularity is better." in running_vertex.logs(
        "no"
    )
    assert not running_vertex.state.below(f"{PARENT}/models")

    # The first attempt fails when the release is made and uploaded; the second one finds the version.
    running_vertex.faults.add("refusal", "POST", "evaluations:import", 1, "PERMISSION_DENIED", "Not yet.")
    job = submit(running_vertex, "yes", {**inputs, **SEND, "evaluation": "gs://bucket/yes"}, "reruns/exporter.json")
    assert tasks(running_vertex, "yes")["exporter"] == "SUCCEEDED", running_vertex.logs("yes")[-4000:]
    assert "Not yet." in running_vertex.logs("yes")
    # The second attempt has a folder of its own: it finds the version of the first if the release is the same, byte for
    # byte, and makes one otherwise; whatever the first one left unfinished has no alias.
    names = [name for name in running_vertex.resources if re.fullmatch(rf"{PARENT}/models/recs@\d+", name)]
    versions = [running_vertex.resources[name] for name in names]
    (version,) = [each for each in versions if "champion" in each["versionAliases"]]
    assert version["versionId"] == versions[-1]["versionId"]
    assert "default" in version["versionAliases"]
    assert {each["labels"]["model-version"] for each in versions} == {"v1"}
    (index,) = running_vertex.state.below(f"{PARENT}/indexes")
    assert index["indexStats"] == {"vectorsCount": "4"}
    assert index["metadata"]["config"]["dimensions"] == 4
    assert len(index["deployedIndexes"]) == 1
    (endpoint,) = running_vertex.state.below(f"{PARENT}/endpoints")
    assert list(endpoint["trafficSplit"].values()) == [100]
    release = path_of(running_vertex, job, "exporter", "release")
    assert json.loads((release / "published.json").read_text())[PARENT]["endpoint"] == endpoint["name"]
    facts = batch(release=str(release), examples=str(bucket / "examples"), output=str(tmp_path / "top"), k=2)
    assert facts["rows"] == 2 * facts["customers"] == 8
    details = {detail["taskName"]: detail for detail in job["jobDetail"]["taskDetails"]}
    told = details["exporter"]["outputs"]["release"]["artifacts"][0]["metadata"]
    assert told["registered_model"] == f"{PARENT}/models/recs@{version['versionId']}"
    assert told["endpoint"] == endpoint["name"]
