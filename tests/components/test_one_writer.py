"""Every component claims its output before it works, and says in words what a disk refuses."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.common import claims
from components.common.errors import InputError
from components.data_extractor import extract as extraction
from components.evaluator import evaluate as evaluation
from components.exporter import export as release
from components.exporter.vertex import batch
from components.vocab_builder import build
from trainer_image import train as training
from trainer_image.options import Options

NAME = "run [v1]?*/a::b%20c/output"


def train(output_path: str) -> Any:
    paths: dict[str, Any] = {"tfrecords_path": "e", "vocabularies_path": "v", "metadata_path": "m"}
    return training.train(Options(**paths, output_path=output_path))


def given(function: Callable[..., Any], **others: str) -> Callable[[str], Any]:
    return lambda output: function(output_path=output, **others)


# The component, and the first thing that it does once it has its output.
COMPONENTS: dict[str, tuple[Callable[[str], Any], Any, str]] = {
    "extract": (given(extraction.extract, purchases="p", products="q"), extraction, "load_config"),
    "vocabularies": (given(build.build_vocabularies, examples="e"), build, "load_config"),
    "train": (train, training, "_train"),
    "evaluate": (
        given(evaluation.evaluate, model="m", examples="e", vocabularies="v"),
        evaluation.Thresholds,
        "checked",
    ),
    "export": (given(release.export, model="m", examples="e", evaluation="v"), release.evaluations, "read"),
}


@pytest.fixture(params=COMPONENTS)
def component(request: pytest.FixtureRequest) -> tuple[Callable[[str], Any], Any, str]:
    return COMPONENTS[request.param]


def test_a_second_run_is_told_before_it_works(
    component: tuple[Callable[[str], Any], Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, place, first = component
    monkeypatch.setattr(place, first, lambda *_, **__: pytest.fail("it worked"))
    output = str(tmp_path / NAME)
    with claims.claimed(output), pytest.raises(InputError, match="found another process that is writing it"):
        run(output)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(
    component: tuple[Callable[[str], Any], Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, place, first = component
    full = "/some/where/else"

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), full)

    monkeypatch.setattr(place, first, fail)
    with pytest.raises(InputError, match="found No space left on device") as refused:
        run(str(tmp_path / NAME))
    assert refused.value.where == full
    assert list(tmp_path.iterdir()) == []


def test_a_batch_claims_its_output_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch.releases, "read", lambda _: None)
    output = str(tmp_path / NAME)
    with claims.claimed(output), pytest.raises(InputError, match="found another process that is writing it"):
        batch.batch(release="r", examples="e", output=output)
