"""The local Vertex AI server runs what is submitted: what the processes did, and what the service says of it."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.cloud import aiplatform
from google_cloud_pipeline_components._placeholders import SERVICE_ACCOUNT_PLACEHOLDER
from google_cloud_pipeline_components.v1.custom_job import create_custom_training_job_from_component
from kfp import dsl

from tests.integration.sums import (
    ROOT,
    a_job,
    name_of,
    retried,
    sleeping,
    sums_again,
    tasks,
    write,
)
from tests.servers.vertex import VertexServer

SECONDS = 90
ACCOUNT = "runner@my-project.iam.gserviceaccount.com"


def submit(server: VertexServer, folder: Path, job_id: str, *pipeline: Any, **options: Any) -> dict[str, Any]:
    """Submits a job and returns it as the server has it once it has ended."""
    a_job(folder, *pipeline, job_id=job_id, **options).submit()
    server.wait(SECONDS)
    return server.resources[name_of(job_id)]


def content(server: VertexServer, uri: str) -> str:
    return (server.state.folder / uri.removeprefix("gs://")).read_text()


def output(job: dict[str, Any], task: str, name: str) -> dict[str, Any]:
    details = {detail["taskName"]: detail for detail in job["jobDetail"]["taskDetails"]}
    made: dict[str, Any] = details[task]["outputs"][name]["artifacts"][0]
    return made


def until(condition: Callable[[], Any], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_tasks_are_processes_and_hand_artifacts_on(running_vertex: VertexServer, tmp_path: Path) -> None:
    job = submit(running_vertex, tmp_path, "one", parameter_values={"rows": 5})

    assert tasks(running_vertex, "one") == {"write": "SUCCEEDED", "add-up": "SUCCEEDED"}, running_vertex.logs("one")
    assert job["state"] == "PIPELINE_STATE_SUCCEEDED"
    assert output(job, "write", "metrics")["metadata"] == {"rows": 5}
    examples, total = output(job, "write", "examples"), output(job, "add-up", "total")
    assert examples["uri"].startswith(f"{ROOT}/1234/one/write_")
    assert content(running_vertex, examples["uri"]).split() == ["0", "1", "2", "3", "4"]
    assert content(running_vertex, total["uri"]) == "10 of 5 rows"
    assert total["metadata"] == {"numbers": 5}
    for detail in job["jobDetail"]["taskDetails"]:
        assert detail["createTime"] <= detail["startTime"] <= detail["endTime"]
        assert [status["state"] for status in detail["pipelineTaskStatus"]] == ["RUNNING", "SUCCEEDED"]
    assert aiplatform.Artifact(total["name"]).uri == total["uri"]


def test_a_failed_task_says_why_and_those_after_it_are_not_run(running_vertex: VertexServer, tmp_path: Path) -> None:
    job = submit(running_vertex, tmp_path, "bad", parameter_values={"rows": -1})

    assert tasks(running_vertex, "bad") == {"write": "FAILED", "add-up": "NOT_TRIGGERED"}
    seen = aiplatform.PipelineJob.get(name_of("bad"))
    assert seen.has_failed
    assert "The failed tasks are: [write]." in seen.to_dict()["error"]["message"]
    failed = job["jobDetail"]["taskDetails"][0]["error"]["message"]
    assert "non-zero status of 1" in failed
    assert "ValueError: rows is negative" in Path(failed.rpartition(": ")[2]).read_text()
    assert "rows is negative" in running_vertex.logs("bad")

    again = submit(running_vertex, tmp_path, "better", parameter_values={"rows": 2})
    assert content(running_vertex, output(again, "add-up", "total")["uri"]) == "1 of 2 rows"


def test_a_task_is_tried_again_in_a_new_place(running_vertex: VertexServer, tmp_path: Path) -> None:
    job = submit(running_vertex, tmp_path, "retried", retried, parameter_values={"marks": "gs://bucket/marks"})

    (detail,) = job["jobDetail"]["taskDetails"]
    states = [status["state"] for status in detail["pipelineTaskStatus"]]
    assert states == ["RUNNING", "PENDING", "RUNNING", "PENDING", "RUNNING", "SUCCEEDED"]
    assert "error" not in detail
    assert output(job, "flaky", "total")["metadata"] == {"attempts": 3}
    assert len(list((tmp_path / "buckets/bucket/runs/1234/retried").iterdir())) == 3


def test_cached_outputs_are_taken_only_where_the_task_allows_it(running_vertex: VertexServer, tmp_path: Path) -> None:
    first = submit(running_vertex, tmp_path, "first", enable_caching=True)
    second = submit(running_vertex, tmp_path, "second", enable_caching=True)
    assert tasks(running_vertex, "second") == {"write": "SKIPPED", "add-up": "SKIPPED"}
    assert output(second, "add-up", "total")["uri"] == output(first, "add-up", "total")["uri"]
    assert second["state"] == "PIPELINE_STATE_SUCCEEDED"

    submit(running_vertex, tmp_path, "other", enable_caching=True, parameter_values={"rows": 6})
    assert set(tasks(running_vertex, "other").values()) == {"SUCCEEDED"}
    submit(running_vertex, tmp_path, "third", enable_caching=False)
    assert set(tasks(running_vertex, "third").values()) == {"SUCCEEDED"}


def test_one_component_runs_on_new_data_through_its_importer(running_vertex: VertexServer, tmp_path: Path) -> None:
    (tmp_path / "buckets/bucket/new").write_text("20\n22\n")
    job = submit(running_vertex, tmp_path, "again", sums_again, parameter_values={"examples": "gs://bucket/new"})

    assert tasks(running_vertex, "again") == {"importer": "SUCCEEDED", "add-up": "SUCCEEDED"}
    imported = output(job, "importer", "artifact")
    assert (imported["uri"], imported["schemaTitle"]) == ("gs://bucket/new", "system.Dataset")
    assert content(running_vertex, output(job, "add-up", "total")["uri"]) == "42 of imported"


def test_cancelling_ends_the_processes(running_vertex: VertexServer, tmp_path: Path) -> None:
    job = a_job(tmp_path, sleeping, job_id="long", parameter_values={"mark": "gs://bucket/mark"})
    job.submit()
    mark = tmp_path / "buckets/bucket/mark"
    until(lambda: mark.exists() and mark.read_text())
    assert tasks(running_vertex, "long") == {"sleep": "RUNNING", "write": "PENDING"}
    assert Path(f"/proc/{mark.read_text()}/cmdline").read_text().startswith("/bin/sleep")

    job.cancel()
    running_vertex.wait(SECONDS)
    assert tasks(running_vertex, "long") == {"sleep": "CANCELLED", "write": "CANCELLED"}
    assert running_vertex.resources[name_of("long")]["state"] == "PIPELINE_STATE_CANCELLED"
    until(lambda: not _alive(int(mark.read_text())))


def test_a_schedule_fires_and_waits_for_its_run(running_vertex: VertexServer, tmp_path: Path) -> None:
    job = a_job(tmp_path, sleeping, parameter_values={"mark": "gs://bucket/mark"})
    schedule = job.create_schedule(
        cron="TZ=Europe/Berlin 0 3 * * *", display_name="nightly", max_concurrent_run_count=1
    )
    name = schedule.resource_name

    started = running_vertex.fire(name)
    assert started
    assert started["scheduleName"] == name
    assert running_vertex.fire(name) is None
    run = started["name"]
    answer = running_vertex.resources[name]["lastScheduledRunResponse"]["runResponse"]
    assert run in answer
    aiplatform.PipelineJob.get(run).cancel()
    running_vertex.wait(SECONDS)
    assert running_vertex.resources[run]["state"] == "PIPELINE_STATE_CANCELLED"
    assert running_vertex.fire(name)


def test_a_custom_job_is_a_process_for_every_replica(running_vertex: VertexServer, tmp_path: Path) -> None:
    code = (
        "import os, sys, json; c = json.loads(os.environ['TF_CONFIG']); print(c['task'], len(c['cluster']['worker']))"
    )
    container = {"image_uri": "europe-docker.pkg.dev/shop/recs/trainer:v1", "command": ["python3", "-c", code]}
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "container_spec": container}
    job = aiplatform.CustomJob("trainer", [pool, {**pool, "replica_count": 2}], staging_bucket="gs://bucket")
    job.submit()
    running_vertex.wait(SECONDS)

    assert running_vertex.resources[job.resource_name]["state"] == "JOB_STATE_SUCCEEDED"
    said = running_vertex.logs(job.resource_name)
    assert "workerpool0-0.log:\n{'type': 'chief', 'index': 0} 2" in said
    assert "workerpool1-1.log:\n{'type': 'worker', 'index': 1} 2" in said

    # The chief fails; the others would wait for it.
    code = "import os, sys, json, time; 'chief' in str(json.loads(os.environ['TF_CONFIG'])['task']) and sys.exit(3)"
    container["command"] = ["python3", "-c", f"{code}; time.sleep(300)"]
    failing = aiplatform.CustomJob("trainer", [pool, {**pool, "replica_count": 2}], staging_bucket="gs://bucket")
    failing.submit()
    running_vertex.wait(SECONDS)
    assert running_vertex.resources[failing.resource_name]["state"] == "JOB_STATE_FAILED"
    assert "status of 3" in running_vertex.resources[failing.resource_name]["error"]["message"]


def test_a_component_runs_as_a_custom_job_of_two_replicas(running_vertex: VertexServer, tmp_path: Path) -> None:
    on_machines = create_custom_training_job_from_component(
        write,
        display_name="writer",
        machine_type="n1-standard-4",
        replica_count=2,
        service_account=SERVICE_ACCOUNT_PLACEHOLDER,
    )

    @dsl.pipeline(name="on-machines")
    def pipeline(rows: int) -> None:
        on_machines(rows=rows)

    a_job(tmp_path, pipeline, job_id="wide", parameter_values={"rows": 3}).submit(service_account=ACCOUNT)
    running_vertex.wait(SECONDS)
    assert tasks(running_vertex, "wide") == {"write": "SUCCEEDED"}, running_vertex.resources
    (name,) = [name for name in running_vertex.resources if "/customJobs/" in name]
    custom = running_vertex.resources[name]
    assert (custom["displayName"], custom["state"]) == ("writer", "JOB_STATE_SUCCEEDED")
    assert custom["jobSpec"]["serviceAccount"] == ACCOUNT
    assert running_vertex.logs(name).count("Wrote executor output file to") == 1  # the first replica alone
    assert "workerpool1-0.log" in running_vertex.logs(name)
    job = running_vertex.resources[name_of("wide")]
    assert content(running_vertex, output(job, "write", "examples")["uri"]).split() == ["0", "1", "2"]
    assert output(job, "write", "metrics")["metadata"] == {"rows": 3}

    failed = submit(running_vertex, tmp_path, "narrow", pipeline, parameter_values={"rows": -3})
    assert failed["state"] == "PIPELINE_STATE_FAILED"
    assert "customJobs/" in failed["jobDetail"]["taskDetails"][0]["error"]["message"]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
