"""What the local Vertex AI server refuses, as the service does: in Google's form of errors, nothing left behind."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions

from tests.integration.sums import PARENT, ROOT, a_job, compiled, curl, name_of
from tests.servers import vertex_cron
from tests.servers.vertex import VertexServer

ACCOUNT = "runner@my-project.iam.gserviceaccount.com"


def body(folder: Path) -> dict[str, Any]:
    """A PipelineJob that the service takes, as JSON."""
    spec = json.loads(Path(compiled(folder)).read_text())
    config = {"gcsOutputDirectory": ROOT, "parameterValues": {"rows": 3}}
    return {"displayName": "sums", "pipelineSpec": spec, "runtimeConfig": config, "serviceAccount": ACCOUNT}


def change(path: str, value: Any) -> Any:
    """A change to a job's body, by a path with dots."""

    def apply(job: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for part in parents:
            job = job[part]
        if value is None:
            del job[last]
        else:
            job[last] = value

    return apply


CONTAINER = "pipelineSpec.deploymentSpec.executors.exec-write.container"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (change("runtimeConfig.parameterValues", {"rows": "3"}), "Parameter rows must be NUMBER_INTEGER; got '3'"),
        (change("runtimeConfig.parameterValues", {"rows": 3.5}), "Parameter rows must be NUMBER_INTEGER"),
        (change("runtimeConfig.parameterValues", {"rows": True}), "Parameter rows must be NUMBER_INTEGER"),
        (change("runtimeConfig.parameterValues", {"row": 3}), "Parameter row is not defined"),
        (change("pipelineSpec.root.inputDefinitions.parameters.rows", {"parameterType": "STRING"}), "must be STRING"),
        (change("runtimeConfig.gcsOutputDirectory", "gs://"), "not a valid Cloud Storage URI"),
        (change("runtimeConfig.gcsOutputDirectory", "/runs"), "not a valid Cloud Storage URI"),
        (change("runtimeConfig", None), "not a valid Cloud Storage URI"),
        (change("labels", {"Team": "recs"}), "lowercase"),
        (change("labels", {"team": "Recs"}), "lowercase"),
        (change("labels", {"team": "r" * 64}), "at most 63"),
        (change("labels", {"1st": "recs"}), "start with a lowercase letter"),
        (change("labels", {f"l{number}": "" for number in range(65)}), "65 labels"),
        (change("serviceAccount", "runner"), "Service account 'runner'"),
        (change("network", "default"), "Network 'default'"),
        (change("displayName", "n" * 129), "128 bytes"),
        (change("pipelineSpec", None), "pipelineSpec is required"),
        (change("pipelineSpec.schemaVersion", "2.0.0"), "schemaVersion"),
        (change("pipelineSpec.pipelineInfo.name", "Sums"), "pipelineInfo.name"),
        (change("pipelineSpec.root.dag.tasks.write.componentRef.name", "comp-x"), "no component 'comp-x'"),
        (change("pipelineSpec.components.comp-write.executorLabel", "exec-x"), "no executor 'exec-x'"),
        (change("pipelineSpec.imagine", 1), "imagine"),
        (change(f"{CONTAINER}.imagine", 1), "imagine"),
        (change(f"{CONTAINER}.image", "Shop/recs data"), "not a valid image"),
        (change(f"{CONTAINER}.resources", {"accelerator": {"type": "TPU_V9", "count": "1"}}), "TPU_V9"),
        (change("imagine", 1), "imagine"),
        (change("labels", "recs"), "Invalid JSON payload"),
    ],
)
def test_a_job_that_the_service_refuses(vertex: VertexServer, tmp_path: Path, changed: Any, message: str) -> None:
    job = body(tmp_path)
    vertex.answer("POST", f"/v1/{PARENT}/pipelineJobs", {}, json.dumps(job).encode(), "")
    assert len([name for name in vertex.resources if "/pipelineJobs/" in name]) == 1  # it is the change that counts
    changed(job)
    file = tmp_path / "body.json"
    file.write_text(json.dumps(job))
    content = ("--header", "Content-Type: application/json", "--data-binary", f"@{file}")
    status, answer = curl(vertex, f"v1/{PARENT}/pipelineJobs?pipelineJobId=one", *content)
    assert (status, answer["error"]["code"], answer["error"]["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert message in answer["error"]["message"]
    assert name_of("one") not in vertex.resources


def test_ids_are_checked_and_taken_once(vertex: VertexServer, tmp_path: Path) -> None:
    a_job(tmp_path, job_id="one").submit()
    with pytest.raises(exceptions.Conflict, match="already exists"):
        a_job(tmp_path, job_id="one").submit()
    file = tmp_path / "body.json"
    file.write_text(json.dumps(body(tmp_path)))
    path = f"v1beta1/{PARENT}/pipelineJobs?pipelineJobId"
    content = ("--header", "Content-Type: application/json", "--data-binary", f"@{file}")
    assert curl(vertex, f"{path}=One", *content)[1]["error"]["status"] == "INVALID_ARGUMENT"
    assert curl(vertex, f"{path}=two", *content)[0] == 200
    assert curl(vertex, f"v1/{name_of('two')}")[1]["displayName"] == "sums"


def test_tokens_and_refusals(vertex: VertexServer, tmp_path: Path) -> None:
    path = f"v1/{PARENT}/pipelineJobs"
    vertex.token = "valid"  # noqa: S105
    assert curl(vertex, path)[1]["error"]["status"] == "UNAUTHENTICATED"
    assert curl(vertex, path, "--header", "Authorization: Bearer expired")[0] == 401
    assert curl(vertex, path, "--header", "Authorization: Bearer valid") == (200, {"pipelineJobs": []})
    vertex.token = ""
    refusal = vertex.refusing("POST", "/pipelineJobs", "RESOURCE_EXHAUSTED", "quota of GPUs")
    with refusal, pytest.raises(exceptions.TooManyRequests, match="quota of GPUs"):
        a_job(tmp_path, job_id="one").submit()
    assert not [name for name in vertex.resources if "/pipelineJobs/" in name]
    assert curl(vertex, f"v1/{PARENT}/trials", "--data", "{}")[0] == 501
    assert curl(vertex, "v1/nothing")[0] == 404
    assert curl(vertex, path, "--data", "{")[1]["error"]["message"].startswith("Invalid JSON payload")


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("*/15 * * * *", "2026-03-01T10:15:00+00:00", "2026-03-01T10:30:00+00:00"),
        ("0 3 * * *", "2026-03-01T10:00:00+00:00", "2026-03-02T03:00:00+00:00"),
        ("TZ=Europe/Berlin 0 3 * * MON", "2026-07-01T00:00:00+00:00", "2026-07-06T01:00:00+00:00"),
        ("CRON_TZ=Asia/Tokyo 30 8 1 JAN *", "2026-07-01T00:00:00+00:00", "2026-12-31T23:30:00+00:00"),
        ("0 0 13 * 5", "2026-07-01T00:00:00+00:00", "2026-07-03T00:00:00+00:00"),
        ("0 0 29 2 *", "2026-07-01T00:00:00+00:00", "2028-02-29T00:00:00+00:00"),
        ("0 9-17/4 * * 7", "2026-07-05T09:00:00+00:00", "2026-07-05T13:00:00+00:00"),
    ],
)
def test_cron(cron: str, after: str, expected: str) -> None:
    moment = vertex_cron.parse(cron).after(datetime.datetime.fromisoformat(after))
    assert moment == datetime.datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "cron", ["", "0 3 * *", "60 3 * * *", "0 3 * * FOO", "TZ=Mars/Base 0 3 * * *", "0 3 0 * *", "0 3 5-2 * *", "a\nb"]
)
def test_a_schedule_needs_a_cron_that_parses(vertex: VertexServer, tmp_path: Path, cron: str) -> None:
    with pytest.raises(exceptions.BadRequest, match="Invalid cron"):
        a_job(tmp_path).create_schedule(cron=cron, display_name="nightly")
    assert not [name for name in vertex.resources if "/schedules/" in name]
