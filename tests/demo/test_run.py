"""`make run` refuses what its Trainer would refuse, and ends in words."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from components.common.errors import InputError
from demo.models import MODEL
from demo.run import both, explained, run
from pipelines.local import StepError
from tests.demo.test_models import done, made


def test_a_refit_is_not_ablated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--refit: found --ablate too, expected one of the two"):
        run(folder=str(tmp_path / "runs"), data=str(tmp_path / "data"), refit=True, ablate=True)
    assert not list(tmp_path.iterdir())


def ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ends: signal.Signals | BaseException
) -> tuple[object, list[str]]:
    """The exit code and the lines of a run that ends after its data was made."""
    models = made(tmp_path)
    models.folders.append(tmp_path / "run")
    for step in ("data-extractor", "vocab-builder"):
        done(tmp_path / "run", step)

    def end() -> None:
        if isinstance(ends, signal.Signals):
            os.kill(os.getpid(), ends)
        else:
            raise ends

    # A program that was started in the background ignores SIGINT, and so does what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as error, explained(models):
            end()
    finally:
        signal.signal(signal.SIGINT, before)
    return error.value.code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(("ends", "code"), [(KeyboardInterrupt(), 130), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_end_says_what_is_there_and_how_to_go_on(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    ends: signal.Signals | BaseException,
    code: int,
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo.run", "--folder", "my $runs"])
    before = signal.getsignal(signal.SIGTERM)
    found, (ended_, *finished, on) = ended(tmp_path, capsys, ends)
    assert found == code
    assert ended_ == "ended, with all its processes"
    assert finished == [f"finished  {tmp_path}/run/{step}" for step in ("data-extractor", "vocab-builder")]
    make, run_, arguments = shlex.split(on.removeprefix("go on     "))  # as the shell does
    assert (make, run_) == ("make", "run")
    flags = shlex.split(arguments.removeprefix("ARGS=").replace("$$", "$"))  # as make and its shell do
    assert flags == ["--folder", "my $runs", "--reuse", f"{tmp_path}/run"]
    assert signal.getsignal(signal.SIGTERM) == before


class TwoRuns:
    """Stands for Models: the first run has its data at once, and its model when the second has been trained."""

    def __init__(self, tmp_path: Path, first: Exception | None = None, second: Exception | None = None):
        self.tmp_path, self.first, self.second = tmp_path, first, second
        self.folders: list[Path] = []
        self.order: list[str] = []
        self.data, self.model, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.has_data, self.has_model = self.data.is_set, self.model.is_set

    def make(self, root: str, config: str, champion: str) -> Path:
        assert (config, champion) == ("default", "")
        self.folders.append(self.tmp_path / config)
        if self.first:
            raise self.first
        self.order.append("first: data")
        self.data.set()
        assert self.ended.wait(60)
        self.order.append("first: model")
        self.model.set()
        return self.tmp_path / config

    def make_beside(self, root: str, config: str, champion: Callable[[], Path]) -> Path:
        self.order.append("second: model")
        if self.second:
            raise self.second
        self.ended.set()
        self.order.append(f"second: beside {champion().relative_to(self.tmp_path)}")
        return self.tmp_path / config


def test_the_second_model_is_trained_beside_the_first_and_waits_for_its_champion(tmp_path: Path) -> None:
    models = TwoRuns(tmp_path)
    assert both(models, str(tmp_path)) == tmp_path / "history"  # type: ignore[arg-type]
    assert models.order == ["first: data", "second: model", "first: model", f"second: beside default/{MODEL}"]


def test_of_two_runs_the_one_that_fails_ends_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = TwoRuns(tmp_path, first=InputError("table", "nothing", "rows", "Bring some."))
    with pytest.raises(InputError, match="Bring some"):
        both(models, str(tmp_path))  # type: ignore[arg-type]
    assert models.order == []  # the second was not begun
    models = TwoRuns(tmp_path, second=StepError("trainer", None, []))
    monkeypatch.setattr("demo.run.process_group.end_all", models.ended.set)  # what ends the first
    with pytest.raises(StepError, match="trainer failed"):
        both(models, str(tmp_path))  # type: ignore[arg-type]
    assert models.order == ["first: data", "second: model", "first: model"]


def test_what_failed_is_shown_and_where_the_rest_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = ended(tmp_path, capsys, StepError("trainer", tmp_path / "log.txt", ["almost", "Killed"]))
    assert code == 1
    assert lines[:4] == ["trainer failed; its last lines:", "almost", "Killed", f"log       {tmp_path}/log.txt"]
    assert lines[4].startswith("finished  ")
    assert "--reuse" in lines[-1]


def test_bad_input_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["Traceback (most recent call last):", "components.common.errors.InputError: --epochs: found 0, expected 1."]
    code, lines = ended(tmp_path, capsys, StepError("trainer", tmp_path / "log.txt", said))
    assert code == 2
    assert lines == ["error: trainer failed: --epochs: found 0, expected 1.", f"log       {tmp_path}/log.txt"]
