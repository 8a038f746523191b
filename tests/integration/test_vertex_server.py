"""The local Vertex AI server's resources, asked for by Google's own SDK and by curl."""

from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform
from google.cloud.storage import Client

from tests.integration.sums import IMAGE, PARENT, ROOT, a_job, curl, name_of
from tests.servers.vertex import PROJECT, VertexServer
from tests.servers.vertex_listing import matches

ACCOUNT = "runner@my-project.iam.gserviceaccount.com"
MACHINE = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1}
POOL = {**MACHINE, "container_spec": {"image_uri": IMAGE, "command": ["true"]}}


def state(resource: Any) -> str:
    """What the SDK makes of the server's answer when it asks now."""
    name: str = resource.state.name
    return name


def test_a_job_is_kept_as_it_was_submitted(vertex: VertexServer, tmp_path: Path) -> None:
    labels = {"team": "recs"}
    job = a_job(tmp_path, job_id="one", parameter_values={"rows": 3}, labels=labels, failure_policy="fast")
    job.submit(service_account=ACCOUNT)

    kept = vertex.resources[name_of("one")]
    assert kept["runtimeConfig"] == {
        "gcsOutputDirectory": ROOT,
        "parameterValues": {"rows": 3},
        "failurePolicy": "PIPELINE_FAILURE_POLICY_FAIL_FAST",
    }
    assert (kept["serviceAccount"], kept["labels"]["team"]) == (ACCOUNT, "recs")
    method, path, sent = vertex.requests[-1]
    assert (method, path) == ("POST", f"/v1/{PARENT}/pipelineJobs")
    assert sent["pipelineSpec"]["pipelineInfo"]["name"] == "sums"
    assert kept["state"] == "PIPELINE_STATE_PENDING"


def test_a_job_that_is_not_run_ends_as_it_is_told(vertex: VertexServer, tmp_path: Path) -> None:
    job = a_job(tmp_path, job_id="one")
    job.submit()
    assert [state(job) for _ in range(3)] == [
        "PIPELINE_STATE_RUNNING",
        "PIPELINE_STATE_SUCCEEDED",
        "PIPELINE_STATE_SUCCEEDED",
    ]
    vertex.ends = ""
    other = a_job(tmp_path, job_id="two")
    other.submit()
    assert [state(other) for _ in range(3)] == ["PIPELINE_STATE_RUNNING"] * 3
    vertex.finish(name_of("two"), "FAILED", "write", "out of memory")
    with pytest.raises(RuntimeError, match=r"The failed tasks are: \[write\]"):
        other.wait()
    assert [(task.task_name, task.state.name) for task in other.task_details] == [
        ("write", "FAILED"),
        ("add-up", "NOT_TRIGGERED"),
    ]
    assert other.task_details[0].error.message == "out of memory"


def test_jobs_are_listed_cancelled_and_deleted(vertex: VertexServer, tmp_path: Path) -> None:
    vertex.ends = ""
    for number in (1, 2, 3):
        labels = {"team": "recs" if number < 3 else "other"}
        a_job(tmp_path, job_id=f"run-{number}", labels=labels, display_name=f"sums {number}").submit()
    listed = aiplatform.PipelineJob.list(filter='labels.team="recs"', order_by="create_time desc")
    assert [job.display_name for job in listed] == ["sums 2", "sums 1"]
    assert len(aiplatform.PipelineJob.list(filter="pipeline_name=sum*")) == 3
    assert not aiplatform.PipelineJob.list(filter='state="PIPELINE_STATE_CANCELLED"')

    with pytest.raises(exceptions.BadRequest, match="cancel it first"):
        listed[0].delete()
    listed[0].cancel()
    with pytest.raises(exceptions.BadRequest, match="cannot be cancelled"):
        listed[0].cancel()
    cancelled = aiplatform.PipelineJob.list(filter='state="PIPELINE_STATE_CANCELLED"')
    assert [job.display_name for job in cancelled] == ["sums 2"]
    listed[1].batch_cancel(project=PROJECT, location="europe-west3", names=[name_of("run-1")])
    assert vertex.resources[name_of("run-1")]["state"] == "PIPELINE_STATE_CANCELLED"
    listed[0].delete()
    assert name_of("run-2") not in vertex.resources
    with pytest.raises(exceptions.NotFound):
        aiplatform.PipelineJob.get(name_of("run-2"))


def test_a_job_joins_an_experiment(vertex: VertexServer, tmp_path: Path) -> None:
    job = a_job(tmp_path, job_id="one")
    job.submit(experiment="recall")
    store = f"{PARENT}/metadataStores/default"
    assert vertex.resources[f"{store}/contexts/one"]["parentContexts"] == [f"{store}/contexts/recall"]


def test_long_lists_come_in_pages(vertex: VertexServer, tmp_path: Path) -> None:
    for number in range(5):
        a_job(tmp_path, job_id=f"run-{number}").submit()
    first = curl(vertex, f"v1/{PARENT}/pipelineJobs?pageSize=3")[1]
    second = curl(vertex, f"v1/{PARENT}/pipelineJobs?pageSize=3&pageToken={first['nextPageToken']}")[1]
    names = [job["name"].rpartition("/")[2] for job in first["pipelineJobs"] + second["pipelineJobs"]]
    assert names == [f"run-{number}" for number in (4, 3, 2, 1, 0)]
    assert "nextPageToken" not in second


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('display_name="a b"', True),
        ('display_name="a*"', True),
        ('display_name!="a b"', False),
        ("state=RUNNING AND labels.team:recs", True),
        ("state=DONE OR labels.team:recs", True),
        ("NOT labels.team", False),
        ("labels.other:*", False),
        ('create_time>"2026-01-01T00:00:00Z"', True),
        ('create_time<"2026-01-01T00:00:00Z"', False),
    ],
)
def test_filters(text: str, expected: bool) -> None:
    created = {"createTime": "2026-02-01T00:00:00Z"}
    assert matches({"displayName": "a b", "state": "RUNNING", "labels": {"team": "recs"}, **created}, text) is expected


def test_schedules_are_made_changed_paused_and_fired(vertex: VertexServer, tmp_path: Path) -> None:
    vertex.ends = ""
    made = a_job(tmp_path, parameter_values={"rows": 3}).create_schedule(
        cron="TZ=Europe/Berlin 0 3 * * MON", display_name="weekly", service_account=ACCOUNT, max_concurrent_run_count=2
    )
    name = made.resource_name
    assert state(made) == "ACTIVE"
    assert vertex.resources[name]["createPipelineJobRequest"]["pipelineJob"]["serviceAccount"] == ACCOUNT

    made.pause()
    assert vertex.resources[name]["state"] == "PAUSED"
    with pytest.raises(Exception, match="PAUSED"):
        vertex.fire(name)
    made.resume(catch_up=True)
    assert vertex.resources[name]["state"] == "ACTIVE"
    assert vertex.resources[name]["catchUp"] is False  # aiplatform 1.165 does not send its own argument

    runs = [vertex.fire(name) for _ in range(3)]
    assert [bool(run) for run in runs] == [True, True, False]
    assert runs[0]
    assert runs[1]
    assert runs[0]["runtimeConfig"]["parameterValues"] == {"rows": 3}
    assert [job.to_dict()["scheduleName"] for job in made.list_jobs()] == [name, name]
    vertex.finish(runs[0]["name"])
    assert vertex.fire(name)
    assert vertex.resources[name]["startedRunCount"] == "3"

    made.update(cron="0 4 * * *", max_run_count=4)
    assert vertex.resources[name]["cron"] == "0 4 * * *"
    assert vertex.resources[name]["displayName"] == "weekly"
    vertex.finish(runs[1]["name"])
    assert vertex.fire(name)
    assert state(aiplatform.PipelineJobSchedule.get(name)) == "COMPLETED"
    made.delete()
    assert name not in vertex.resources


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
