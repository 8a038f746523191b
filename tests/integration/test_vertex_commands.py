"""The commands as a shell runs them: the compiled pipeline submitted, followed through a crash, and rerun in part."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.vertex_cli import Commands
from tests.servers.vertex import LOCATION, VertexServer

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
REGISTRY = "localhost:1"  # nobody answers there: the preflight says so, and goes on
ROOT = "gs://bucket/runs"


@pytest.fixture
def environment(running_vertex: VertexServer) -> dict[str, str]:
    given = {"VERTEX_ENDPOINT": running_vertex.url, "GOOGLE_CLOUD_REGION": LOCATION, "PYTHONPATH": str(REPOSITORY)}
    return {**os.environ, **running_vertex.environment, **given}


@pytest.fixture
def parameters(running_vertex: VertexServer, small_log: tuple[str, str]) -> list[str]:
    bucket = running_vertex.state.folder / "bucket"
    for log in small_log:
        (bucket / Path(log).name).write_bytes(Path(log).read_bytes())
    tables = ["purchases=gs://bucket/purchases.parquet", "products=gs://bucket/products.parquet"]
    return [*tables, "epochs=100", "patience=100", "batch_size=256", "warmup_steps=5", "top_k=10", "ks=[5, 10]"]


@pytest.fixture
def killer(running_vertex: VertexServer) -> Iterator[list[str]]:
    """Kills the first Trainer, as a machine that dies would, once it has written a checkpoint; lists whom it killed."""
    killed: list[str] = []
    over = threading.Event()

    def kill() -> None:
        bucket = running_vertex.state.folder / "bucket"
        while not over.is_set() and not list(bucket.glob("runs/*/*/checkpoints/*.npz")):
            time.sleep(0.02)
        for process in Path("/proc").glob("[0-9]*"):
            if not over.is_set() and _is_trainer(process, str(running_vertex.state.folder)):
                os.killpg(int(process.name), signal.SIGKILL)  # the container's shell and all that it started
                killed.append(process.name)

    thread = threading.Thread(target=kill)
    thread.start()
    yield killed
    over.set()
    thread.join()


def _is_trainer(process: Path, folder: str) -> bool:
    try:
        command, variables = ((process / file).read_text(errors="replace") for file in ("cmdline", "environ"))
    except OSError:  # it has ended meanwhile
        return False
    return "kfp.dsl.executor_main" in command and "def trainer(" in command and folder in variables


def _run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )


def test_submitted_retried_released_and_rerun(
    running_vertex: VertexServer,
    environment: dict[str, str],
    parameters: list[str],
    killer: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = tmp_path / "pipeline.json"
    compiled = _run(environment, "compile.py", "--registry", REGISTRY, "--tag", "v1", "--output", str(spec))
    assert compiled.returncode == 0, compiled.stderr
    vertex = ("-m", "pipelines.vertex")
    follow = ("--pipeline-root", ROOT, "--wait", "--poll", "0.2")
    flags = ("--spec", str(spec), "--rows", "1500", "--parameters", *parameters)
    done = _run(environment, *vertex, "submit", *flags, *follow)
    (name,) = running_vertex.resources.keys() & {n for n in running_vertex.resources if "/pipelineJobs/" in n}
    logs = running_vertex.logs(name)
    assert done.returncode == 0, done.stdout + done.stderr + logs[-4000:]
    assert f"not checked: {REGISTRY}/metro-recs/trainer:v1: no answer" in done.stdout
    assert "fine: The bucket gs://bucket is there" in done.stdout
    # One Trainer died, and another one went on where it had been, though its outputs have a new place.
    assert len(killer) == 1
    assert done.stdout.index("trainer: pending") < done.stdout.index("trainer: succeeded")
    assert re.search(r"continuing after step [\d,]+, from gs://bucket/runs/\S+/checkpoints", logs), logs
    assert re.search(r"evaluator\W+recall_10\W+0\.\d+", done.stdout)
    assert "Report of evaluator: https://storage.cloud.google.com/bucket/runs/" in done.stdout

    details = {detail["taskName"]: detail for detail in running_vertex.resources[name]["jobDetail"]["taskDetails"]}
    made = {
        artifact: details[step]["outputs"][artifact]["artifacts"][0]["uri"]
        for step, artifact in (
            ("data-extractor", "examples"),
            ("vocab-builder", "vocabularies"),
            ("trainer", "model"),
        )
    }
    inputs = [f"{artifact}={uri}" for artifact, uri in made.items()]
    folder = str(spec.with_name("reruns"))
    again = _run(
        environment,
        *(*vertex, "rerun", "evaluator", "--folder", folder, "--no-estimate", "--input", *inputs, *follow),
        *("--parameters", "ks=[5, 10]", "must_beat=none"),
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.index("importer: succeeded") < again.stdout.index("evaluator: succeeded")

    # The rest without a shell. What cannot be done is a sentence, and nothing is sent.
    here = Commands(running_vertex, tmp_path, capsys)
    assert len(re.findall(r"succeeded", here("list").out)) == 2
    before = len([n for n in running_vertex.resources if "/pipelineJobs/" in n])
    missing = here("submit", *flags, "epochs=5", "--pipeline-root", "gs://mistyped/runs")
    assert missing.code == 2
    assert "epochs twice" in missing.err
    nowhere = here("submit", *flags, "--pipeline-root", "gs://mistyped/runs")
    assert nowhere.code == 2
    assert "gs://mistyped does not exist" in nowhere.err
    assert len([n for n in running_vertex.resources if "/pipelineJobs/" in n]) == before
