"""The command line and a server for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.vertex_cli import Commands, compiled
from tests.servers.vertex import VertexServer


@pytest.fixture(scope="session")
def compiled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipelines as compile.py writes them, with images that have a registry."""
    return compiled(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def commands(compiled_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    """The commands against a server that keeps what it is given, with one bucket."""
    (tmp_path / "cloud" / "bucket").mkdir(parents=True)
    with VertexServer(tmp_path / "cloud") as server:
        yield Commands(server, compiled_folder, capsys)
