"""The local Vertex AI server's models, endpoints, indexes, custom jobs and operations, by Google's own SDK."""

from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform
from google.cloud.storage import Client

from tests.integration.sums import IMAGE, PARENT, curl, state
from tests.servers.vertex import PROJECT, VertexServer

ACCOUNT = "runner@my-project.iam.gserviceaccount.com"
MACHINE = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1}
POOL = {**MACHINE, "container_spec": {"image_uri": IMAGE, "command": ["true"]}}


def test_custom_jobs(vertex: VertexServer) -> None:
    machine = {"machine_type": "a2-highgpu-2g", "accelerator_type": "NVIDIA_TESLA_A100", "accelerator_count": 2}
    accelerated = {**POOL, "machine_spec": machine}
    job = aiplatform.CustomJob("trainer", [accelerated], staging_bucket="gs://bucket", labels={"team": "recs"})
    job.submit(service_account=ACCOUNT)
    kept = vertex.resources[job.resource_name]
    assert kept["jobSpec"]["workerPoolSpecs"][0]["machineSpec"] == {
        "machineType": "a2-highgpu-2g",
        "acceleratorType": "NVIDIA_TESLA_A100",
        "acceleratorCount": 2,
    }
    assert kept["jobSpec"]["serviceAccount"] == ACCOUNT
    assert [state(job) for _ in range(2)] == ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
    vertex.ends = ""
    other = aiplatform.CustomJob("trainer", [POOL], staging_bucket="gs://bucket")
    other.submit()
    other.cancel()
    assert state(other) == "JOB_STATE_CANCELLED"
    assert len(aiplatform.CustomJob.list(filter='display_name="trainer"')) == 2
    for wrong, message in (
        ({**POOL, "replica_count": 2}, "one replica"),
        ({"replica_count": 1, "container_spec": POOL["container_spec"]}, "machineType is required"),
        (MACHINE, "containerSpec"),
    ):
        with pytest.raises(exceptions.BadRequest, match=message):
            aiplatform.CustomJob("trainer", [wrong], staging_bucket="gs://bucket").submit()


def test_models_have_versions_and_aliases_and_endpoints_traffic(vertex: VertexServer) -> None:
    settings = {"display_name": "recs", "artifact_uri": "gs://bucket/release", "serving_container_image_uri": IMAGE}
    first = aiplatform.Model.upload(model_id="recs", **settings)
    second = aiplatform.Model.upload(
        parent_model=first.resource_name, is_default_version=False, version_aliases=["candidate"], **settings
    )
    assert (first.version_id, second.version_id) == ("1", "2")
    assert aiplatform.Model("recs").version_id == "1"
    assert aiplatform.Model("recs@candidate").version_id == "2"
    first.versioning_registry.add_version_aliases(["champion"], version="1")
    first.versioning_registry.add_version_aliases(["champion", "default"], version="2")
    first.versioning_registry.remove_version_aliases(["candidate"], version="2")
    known = {info.version_id: sorted(info.version_aliases) for info in first.versioning_registry.list_versions()}
    assert known == {"1": [], "2": ["champion", "default"]}
    assert [model.resource_name for model in aiplatform.Model.list()] == [first.resource_name]

    endpoint = aiplatform.Endpoint.create(display_name="recs")
    endpoint.deploy(aiplatform.Model("recs@1"), machine_type="n1-standard-4", min_replica_count=1)
    endpoint.deploy(aiplatform.Model("recs@2"), machine_type="n1-standard-4", traffic_percentage=10)
    old, new = (deployed.id for deployed in endpoint.list_models())
    assert vertex.resources[endpoint.resource_name]["trafficSplit"] == {old: 90, new: 10}
    with pytest.raises(exceptions.BadRequest, match="undeploy it first"):
        first.versioning_registry.delete_version("1")
    endpoint.undeploy(old, traffic_split={new: 100})
    assert [deployed.model_version_id for deployed in endpoint.list_models()] == ["2"]
    first.versioning_registry.delete_version("1")
    with pytest.raises(exceptions.NotFound):
        aiplatform.Model("recs@1")


def test_an_index_reads_its_records_and_is_deployed(vertex: VertexServer, tmp_path: Path) -> None:
    folder = tmp_path / "buckets/bucket/embeddings"
    folder.mkdir()
    (folder / "embeddings.json").write_text('{"id": "1", "embedding": [0.5, 1]}\n{"id": "2", "embedding": [1, 0]}\n')
    uri = "gs://bucket/embeddings"
    index = aiplatform.MatchingEngineIndex.create_brute_force_index("recs", dimensions=2, contents_delta_uri=uri)
    assert vertex.resources[index.resource_name]["indexStats"] == {"vectorsCount": "2"}

    (folder / "embeddings.json").write_text('{"id": "1", "embedding": [0.5, 1, 2]}\n')
    with pytest.raises(exceptions.GoogleAPICallError, match="3 dimensions instead of 2"):
        index.update_embeddings(uri)
    (folder / "embeddings.json").write_text('{"id": "3", "embedding": [0.5, 1]}\n')
    index.update_embeddings(uri)
    assert vertex.resources[index.resource_name]["indexStats"] == {"vectorsCount": "3"}
    index.update_embeddings(uri, is_complete_overwrite=True)
    assert vertex.resources[index.resource_name]["indexStats"] == {"vectorsCount": "1"}

    endpoint = aiplatform.MatchingEngineIndexEndpoint.create("recs", public_endpoint_enabled=True)
    endpoint.deploy_index(index, "recs_v1")
    with pytest.raises(exceptions.Conflict):
        endpoint.deploy_index(index, "recs_v1")
    with pytest.raises(exceptions.BadRequest, match="undeploy"):
        index.delete()
    endpoint.undeploy_index("recs_v1")
    assert vertex.resources[index.resource_name]["deployedIndexes"] == []


def test_an_operation_is_polled_until_it_is_done(vertex: VertexServer) -> None:
    content = ("--header", "Content-Type: application/json", "--data", '{"displayName": "recs"}')
    status, started = curl(vertex, f"v1/{PARENT}/endpoints", *content)
    assert (status, "done" in started) == (200, False)
    polled = [curl(vertex, f"v1/{started['name']}")[1] for _ in range(3)]
    assert [operation.get("done", False) for operation in polled] == [False, True, True]
    assert polled[1]["response"]["@type"] == "type.googleapis.com/google.cloud.aiplatform.v1.Endpoint"
    assert polled[1]["response"]["displayName"] == "recs"
    assert curl(vertex, f"v1/{PARENT}/operations/7")[0] == 404


def test_the_folder_is_the_bucket(vertex: VertexServer, tmp_path: Path) -> None:
    folder = tmp_path / "buckets/bucket"
    client = Client(PROJECT)
    bucket = client.bucket("bucket")
    assert bucket.exists()
    assert not client.bucket("other").exists()
    (folder / "a").mkdir()
    (folder / "a/file").write_text("by a process")
    assert bucket.blob("a/file").download_as_text() == "by a process"
    (folder / "a/file").write_text("again by a process")
    assert bucket.blob("a/file").download_as_text() == "again by a process"
    bucket.blob("b/object").upload_from_string("by the API")
    assert (folder / "b/object").read_text() == "by the API"
    assert [blob.name for blob in client.list_blobs("bucket")] == ["a/file", "b/object"]
    bucket.blob("a/file").delete()
    assert not (folder / "a/file").exists()
    (folder / "b/object").unlink()
    assert not list(client.list_blobs("bucket"))
    client.create_bucket("made")
    assert (tmp_path / "buckets/made").is_dir()
