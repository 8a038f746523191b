"""The local Vertex AI server with one bucket, and the SDK pointed at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.vertex import VertexServer


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[VertexServer]:
    """A server that keeps what it is given."""
    yield from _serving(tmp_path / "buckets", runs=False)


@pytest.fixture
def running_vertex(tmp_path: Path) -> Iterator[VertexServer]:
    """A server that runs what it is given."""
    yield from _serving(tmp_path / "buckets", runs=True)


def _serving(folder: Path, runs: bool) -> Iterator[VertexServer]:
    (folder / "bucket").mkdir(parents=True)
    with VertexServer(folder, runs=runs) as server, server.sdk():
        yield server
