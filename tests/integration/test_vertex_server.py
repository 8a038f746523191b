"""The local Vertex AI server, asked by Google's own SDK and by curl."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform
from kfp import compiler, dsl

from tests.servers.vertex import LOCATION, PROJECT, VertexServer

PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
ROOT = "gs://bucket/runs"
IMAGE = "europe-docker.pkg.dev/shop/recs/data:v1"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def write(rows: int, examples: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]) -> str:
    """Writes numbers through the mount."""
    if rows < 0:
        raise ValueError("rows is negative")
    with open(examples.path, "w") as file:
        file.write("\n".join(map(str, range(rows))))
    metrics.log_metric("rows", rows)
    return f"{rows} rows"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def add_up(examples: dsl.Input[dsl.Dataset], told: str, total: dsl.Output[dsl.Artifact]):
    """Adds numbers up through Cloud Storage."""
    import fsspec

    with fsspec.open(examples.uri) as file:
        numbers = [int(line) for line in file.read().decode().split()]
    with fsspec.open(total.uri, "w") as file:
        file.write(f"{sum(numbers)} of {told}")
    total.metadata["numbers"] = len(numbers)


@dsl.pipeline(name="sums")
def sums(rows: int = 4, note: str = ""):
    written = write(rows=rows)
    add_up(examples=written.outputs["examples"], told=written.outputs["Output"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VertexServer]:
    yield from _serving(tmp_path, runs=False)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[VertexServer]:
    yield from _serving(tmp_path, runs=True)


def _serving(folder: Path, runs: bool) -> Iterator[VertexServer]:
    (folder / "buckets/bucket").mkdir(parents=True)
    with VertexServer(folder / "buckets", runs=runs) as server, server.sdk():
        yield server


def compiled(folder: Path, pipeline: Any = sums) -> str:
    path = folder / "spec.json"
    compiler.Compiler().compile(pipeline, str(path))
    return str(path)


def a_job(folder: Path, pipeline: Any = sums, **options: Any) -> aiplatform.PipelineJob:
    settings = {"display_name": "sums", "pipeline_root": ROOT, **options}
    return aiplatform.PipelineJob(template_path=compiled(folder, pipeline), **settings)


def test_a_job_is_kept_as_it_was_submitted(server: VertexServer, tmp_path: Path) -> None:
    account = "runner@my-project.iam.gserviceaccount.com"
    job = a_job(tmp_path, job_id="sums-1", parameter_values={"rows": 3}, labels={"team": "recs"}, enable_caching=False)
    job.submit(service_account=account)

    kept = server.resources[f"{PARENT}/pipelineJobs/sums-1"]
    assert kept["runtimeConfig"] == {"gcsOutputDirectory": ROOT, "parameterValues": {"rows": 3}}
    assert (kept["serviceAccount"], kept["labels"]["team"]) == (account, "recs")
    method, path, body = server.requests[-1]
    assert (method, path) == ("POST", f"/v1/{PARENT}/pipelineJobs")
    assert body["pipelineSpec"]["pipelineInfo"]["name"] == "sums"
    assert kept["state"] == "PIPELINE_STATE_PENDING"
    states = [job.state.name for _ in range(3)]
    assert states == ["PIPELINE_STATE_RUNNING", "PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_SUCCEEDED"]


def test_a_job_runs_as_processes(running: VertexServer, tmp_path: Path) -> None:
    job = a_job(tmp_path, job_id="sums-1", parameter_values={"rows": 5})
    job.submit()
    running.wait(60)

    details = {detail.task_name: detail for detail in aiplatform.PipelineJob.get(job.resource_name).task_details}
    assert {name: detail.state.name for name, detail in details.items()} == {
        "write": "SUCCEEDED",
        "add-up": "SUCCEEDED",
    }, running.logs("sums-1")
    assert details["write"].outputs["metrics"].artifacts[0].metadata["rows"] == 5
    total = details["add-up"].outputs["total"].artifacts[0]
    assert total.uri.startswith(f"{ROOT}/1234/sums-1/add-up_")
    assert total.metadata["numbers"] == 5
    assert (tmp_path / "buckets" / total.uri.removeprefix("gs://")).read_text() == "10 of 5 rows"
    assert job.state.name == "PIPELINE_STATE_SUCCEEDED"
