"""The commands in this process, what they are given, and what they left at the local Vertex AI server."""

import json
import sys
from typing import Any

import pytest

from components.common import cli
from components.exporter.vertex import commands
from tests.components.exporter.vertex import releases
from tests.pipelines.vertex_cli import Result
from tests.servers.vertex import LOCATION, PROJECT, VertexServer

IMAGE = "europe-west3-docker.pkg.dev/my-project/metro-recs/serving:v1"
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
MODEL = f"{PARENT}/models/recs"
EVERYTHING: dict[str, Any] = {
    "project": "my-project",
    "region": "europe-west3",
    "model_name": "recs",
    "serving_image": IMAGE,
    "endpoint_name": "shop",
    "index_name": "recs",
    "index_endpoint_name": "search",
}
ROLLBACK = ("rollback", "--model-name", "recs", "--endpoint-name", "shop")


class Cloud:
    """Commands in this process, and what they left at the server."""

    def __init__(self, server: VertexServer, capsys: pytest.CaptureFixture[str]):
        self.server, self.capsys = server, capsys
        self.bucket = server.state.folder / "bucket"

    def __call__(self, *arguments: str) -> Result:
        self.capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["components.exporter.vertex", *arguments])
            try:
                cli.run_commands(commands.COMMANDS, commands.ABOUT)
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Result(code, *self.capsys.readouterr())

    def release(self, name: str, **changes: Any) -> str:
        """A release in the bucket, gs://bucket/NAME, of the model version NAME."""
        releases.write(self.bucket / name, name, **changes)
        return f"gs://bucket/{name}"

    def register(self, name: str, *flags: str) -> Result:
        """Registers the release NAME, which is written if it is not there."""
        release = f"gs://bucket/{name}" if (self.bucket / name).exists() else self.release(name)
        return self("register", "--release", release, "--model-name", "recs", "--serving-image", IMAGE, *flags)

    def deploy(self, name: str, *flags: str) -> Result:
        release = f"gs://bucket/{name}"
        return self("deploy", "--release", release, "--model-name", "recs", "--endpoint-name", "shop", *flags)

    @property
    def versions(self) -> dict[str, dict[str, Any]]:
        """The model's versions by number."""
        found = self.server.resources.items()
        return {
            name.rpartition("@")[2]: each
            for name, each in found
            if name.startswith(f"{MODEL}@") and "evaluations" not in name
        }

    @property
    def champion(self) -> str:
        (number,) = [number for number, each in self.versions.items() if "champion" in each["versionAliases"]] or [""]
        return number

    @property
    def traffic(self) -> dict[str, int]:
        """Percent by the version's number, of the only endpoint."""
        (endpoint,) = self.of("endpoints")
        split = endpoint["trafficSplit"]
        return {each["modelVersionId"]: split.get(each["id"], 0) for each in endpoint["deployedModels"]}

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The resources of a kind, the newest first."""
        with self.server.state.lock:
            return self.server.state.below(f"{PARENT}/{kind}")

    def sent(self, method: str, end: str) -> list[Any]:
        """Bodies of the calls by a method whose path ends so, in order."""
        return [body for sent, path, body in self.server.requests if sent == method and path.endswith(end)]


def document(cloud: Cloud, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cloud.bucket / name / "release.json").read_text())
    return found
