"""The commands against the local Vertex AI server, with one bucket and no pauses."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from gcsfs.core import GCSFileSystem

from components.exporter.vertex import calls
from tests.components.exporter.vertex.cloud import Cloud
from tests.servers.vertex import LOCATION, VertexServer


@pytest.fixture
def cloud(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name in ("FIRST_PAUSE", "FIRST_POLL"):
        monkeypatch.setattr(calls, name, 0.001)
    (tmp_path / "cloud/bucket").mkdir(parents=True)
    with VertexServer(tmp_path / "cloud") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("VERTEX_ENDPOINT", server.url)
        monkeypatch.setenv("GOOGLE_CLOUD_REGION", LOCATION)
        for protocol in GCSFileSystem.protocol:  # what a variable says, for this process, which imported gcsfs before
            fsspec.register_implementation(protocol, GCSFileSystem, clobber=True)
        GCSFileSystem.clear_instance_cache()
        yield Cloud(server, capsys)
        GCSFileSystem.clear_instance_cache()
