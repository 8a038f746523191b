"""The local Vertex AI server's resources, asked for by Google's own SDK and by curl."""

from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform

from tests.integration.sums import IMAGE, PARENT, ROOT, a_job, curl, name_of, state
from tests.servers.vertex import PROJECT, VertexServer
from tests.servers.vertex_listing import matches

ACCOUNT = "runner@my-project.iam.gserviceaccount.com"
MACHINE = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1}
POOL = {**MACHINE, "container_spec": {"image_uri": IMAGE, "command": ["true"]}}


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
