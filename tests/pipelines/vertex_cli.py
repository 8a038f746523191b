"""The command line in this process: flags in, exit code and output out."""

import re
from functools import partial
from pathlib import Path

import pytest

from compile import compile_pipeline
from components.common import cli
from pipelines import vertex
from tests.command_line import Result, result_of
from tests.servers.vertex import LOCATION, VertexServer

REGISTRY = "europe-west3-docker.pkg.dev/my-project"
PARAMETERS = ("--parameters", "purchases=my-project.shop.purchases", "products=my-project.shop.products")


def run_id(out: str) -> str:
    """The id of the run that a command says it submitted."""
    found = re.search(r"submitted (\S+)", out)
    assert found
    return found[1]


class Commands:
    """Runs commands against a server, with pipelines compiled for `registry`."""

    def __init__(self, server: VertexServer, folder: Path, capsys: pytest.CaptureFixture[str]):
        self.server, self.folder, self.capsys = server, folder, capsys

    def __call__(self, *arguments: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.server.environment.items():
                patch.setenv(name, value)
            patch.setenv("VERTEX_ENDPOINT", self.server.url)
            patch.setenv("GOOGLE_CLOUD_REGION", LOCATION)
            command = partial(cli.run_commands, vertex.COMMANDS, vertex.ABOUT)
            return result_of(command, self.capsys, "pipelines.vertex", *arguments)

    def submit(self, *arguments: str) -> Result:
        """A submission of the whole pipeline, without estimate and preflight."""
        spec = ("--spec", str(self.folder / "pipeline.json"), "--pipeline-root", "gs://bucket/runs")
        return self("submit", *spec, "--no-preflight", "--no-estimate", *arguments)

    @property
    def created(self) -> list[dict]:
        """Bodies of everything that was created at the server, in order."""
        kinds = ("pipelineJobs", "schedules", "customJobs")
        return [body for method, path, body in self.server.requests if method == "POST" and path.endswith(kinds)]


def compiled(folder: Path) -> Path:
    """The pipelines as compile.py writes them, in a folder, with images that have a registry."""
    compile_pipeline(output=str(folder / "pipeline.json"), registry=REGISTRY, tag="v1")
    return folder
