import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.exporter import verify
from tests import saved_models
from tests.components import fake_model


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """Nearly all tests read the same few SavedModels."""
    with saved_models.loaded_once():
        yield


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The paths of a model, its examples and its vocabularies; read only."""
    folder: Path = tmp_path_factory.mktemp("world")
    curve = [
        {"epoch": epoch, "loss": 1.4 / epoch, "validation_recall_10": 0.1 * epoch, "validation_recall_100": 0.2 * epoch}
        for epoch in (1, 2, 3)
    ]
    config = {"query": {"layers": [4], "features": [{"kind": "id", "name": "cust_person_id", "dim": 4}]}}
    return {
        "model": fake_model.write_model(
            folder / "model",
            training={"curve": curve, "chance_loss": 1.386},
            feature_config=config,
            hyperparameters={"embedding_dims": {"cust_person_id": 4}, "epochs": 3},
        ),
        "examples": fake_model.write_examples(folder / "examples"),
        "vocabularies": fake_model.write_vocabularies(folder / "vocabularies.json"),
    }


@pytest.fixture
def proof_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof does not start a process of its own, for tests of what it finds.

    That it runs in one is tested where a release is made first, in test_export.
    """

    class Process(contextlib.nullcontext[None]):
        """What the Exporter uses of a subprocess.Popen."""

        returncode = 0

        def __init__(self, command: list[str], **_: Any):
            super().__init__()
            assert command[:3] == [sys.executable, "-m", verify.__name__]
            self.paths = command[3:]

        def communicate(self, _: str) -> tuple[str, str]:
            verify.main(*self.paths)
            return "", ""

        def kill(self) -> None:
            """It has ended."""

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(verify, "_built", lambda: None)
