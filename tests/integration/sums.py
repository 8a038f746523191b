"""A small pipeline for the local Vertex AI server: one task writes numbers, the next adds them up."""

import json
import shutil
import subprocess
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
def add_up(examples: dsl.Input[dsl.Dataset], told: str, total: dsl.Output[dsl.Artifact]) -> None:
    """Adds numbers up through Cloud Storage: by its API, as gcsfs takes a second to import."""
    import os
    import urllib.parse
    import urllib.request

    def call(method: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(os.environ["STORAGE_EMULATOR_HOST"] + method, body, 30) as answer:  # noqa: S310
            return answer.read()

    def place(uri: str) -> tuple[str, str]:
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        return bucket, urllib.parse.quote(name, safe="")

    bucket, name = place(examples.uri)
    numbers = [int(line) for line in call(f"/download/storage/v1/b/{bucket}/o/{name}?alt=media").decode().split()]
    bucket, name = place(total.uri)
    sums = f"{sum(numbers)} of {told}".encode()
    call(f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}", sums)
    total.metadata["numbers"] = len(numbers)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def flaky(marks: str, total: dsl.Output[dsl.Artifact]) -> None:
    """Fails twice, then works; what it leaves for the next attempt is an object for each."""
    import json
    import os
    import urllib.request

    def call(path: str, body: bytes | None = None) -> dict:
        return json.load(urllib.request.urlopen(os.environ["STORAGE_EMULATOR_HOST"] + path, body, 30))  # noqa: S310

    bucket, _, folder = marks.removeprefix("gs://").partition("/")
    attempt = len(call(f"/storage/v1/b/{bucket}/o?prefix={folder}/").get("items", [])) + 1
    call(f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={folder}/{attempt}", b"x")
    if attempt < 3:
        raise RuntimeError(f"attempt {attempt}")
    total.metadata["attempts"] = attempt


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sleep(mark: str) -> None:
    """Says that it runs, in an object, and goes on for long with a child of its own."""
    import os
    import subprocess
    import urllib.request

    child = subprocess.Popen(["/bin/sleep", "300"])
    bucket, _, name = mark.removeprefix("gs://").partition("/")
    url = f"{os.environ['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
    urllib.request.urlopen(url, str(child.pid).encode(), 30).close()  # noqa: S310
    child.wait()


@dsl.pipeline(name="sums")
def sums(rows: int = 4) -> None:
    """Writes and adds up."""
    written = write(rows=rows)
    add_up(examples=written.outputs["examples"], told=written.outputs["Output"])


@dsl.pipeline(name="sums-again")
def sums_again(examples: str, told: str = "imported") -> None:
    """Adds up what another run, or anything else, has written."""
    imported = dsl.importer(artifact_uri=examples, artifact_class=dsl.Dataset)
    add_up(examples=imported.output, told=told)


@dsl.pipeline(name="retried")
def retried(marks: str) -> None:
    """Tries three times."""
    flaky(marks=marks).set_retry(num_retries=2, backoff_duration="60s")


@dsl.pipeline(name="sleeping")
def sleeping(mark: str) -> None:
    """Runs until it is cancelled, and then would add up."""
    slept = sleep(mark=mark)
    write(rows=1).after(slept)


def compiled(folder: Path, pipeline: Any = sums) -> str:
    """The path of a pipeline's compiled spec."""
    path = folder / f"{pipeline.name}.json"
    compiler.Compiler().compile(pipeline, str(path))
    return str(path)


def a_job(folder: Path, pipeline: Any = sums, **options: Any) -> aiplatform.PipelineJob:
    """A job of the pipeline that was not submitted yet."""
    settings = {"display_name": pipeline.name, "pipeline_root": ROOT, **options}
    return aiplatform.PipelineJob(template_path=compiled(folder, pipeline), **settings)


def name_of(job_id: str) -> str:
    return f"{PARENT}/pipelineJobs/{job_id}"


def state(resource: Any) -> str:
    """What the SDK makes of the server's answer when it asks now."""
    name: str = resource.state.name
    return name


def tasks(server: VertexServer, job_id: str) -> dict[str, str]:
    """The states of a job's tasks by name, as the SDK reads them."""
    details = aiplatform.PipelineJob.get(name_of(job_id)).task_details
    assert len(details) == len(server.resources[name_of(job_id)]["jobDetail"]["taskDetails"])
    return {detail.task_name: detail.state.name for detail in details}


def curl(server: VertexServer, path: str, *arguments: str) -> tuple[int, Any]:
    """The answer's HTTP status and body."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    command = [program, "--silent", "--show-error", "--write-out", "\n%{http_code}", *arguments]
    done = subprocess.run([*command, f"{server.url}/{path}"], capture_output=True, text=True, check=True, timeout=30)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)
