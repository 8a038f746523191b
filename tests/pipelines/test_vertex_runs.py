"""--wait against runs that are real processes: figures, a failing step, somebody else's cancellation."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sums import compiled, sleeping, sums
from tests.pipelines.vertex_cli import Commands
from tests.servers.vertex import VertexServer

pytestmark = pytest.mark.slow


@pytest.fixture
def running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    (tmp_path / "cloud" / "bucket").mkdir(parents=True)
    with VertexServer(tmp_path / "cloud", runs=True) as server:
        yield Commands(server, tmp_path, capsys)


def _flags(tmp_path: Path, pipeline: Any, *parameters: str) -> tuple[str, ...]:
    root = ("--pipeline-root", "gs://bucket/runs", "--no-estimate", "--no-preflight", "--wait", "--poll", "0.2")
    return ("--spec", compiled(tmp_path, pipeline), *root, "--parameters", *parameters)


def test_figures_of_a_run(running: Commands, tmp_path: Path) -> None:
    result = running("submit", *_flags(tmp_path, sums, "rows=5"))
    assert result.code == 0, result.err
    assert re.search(r"write\W+rows\W+5", result.out)
    assert result.out.index("write: succeeded") < result.out.index("add-up: succeeded")


def test_a_failing_step_ends_the_command_with_its_error(running: Commands, tmp_path: Path) -> None:
    result = running("submit", *_flags(tmp_path, sums, "rows=-1"))
    assert result.code == 1
    assert "write: failed" in result.out
    assert re.search(r"^  write: .*non-zero status", result.out, re.MULTILINE)
    assert not re.search("add-up: (running|succeeded)", result.out)


def test_a_run_that_somebody_else_cancels(running: Commands, tmp_path: Path) -> None:
    mark = running.server.state.folder / "bucket" / "mark"

    def cancel() -> None:
        deadline = time.monotonic() + 60
        while not mark.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        import urllib.request

        (name,) = (name for name in running.server.resources if "/pipelineJobs/" in name)
        request = urllib.request.Request(f"{running.server.url}/v1/{name}:cancel", b"{}")  # noqa: S310
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310

    other = threading.Thread(target=cancel)
    other.start()
    result = running("submit", *_flags(tmp_path, sleeping, "mark=gs://bucket/mark"))
    other.join()
    assert result.code == 1
    assert "The run was cancelled" in result.out
