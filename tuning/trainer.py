"""One training of the search: the Trainer's own command line, in a process of its own."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from components.common import storage
from components.common.saved_models import METADATA
from trainer_image.checkpoint import LOGS
from trainer_image.options import Options
from trainer_image.preemption import EXIT_CODE

ROOT = Path(__file__).resolve().parent.parent
CURVE, MODEL, LOG = "curve.csv", "model", "train.log"
LOOK = 0.25  # seconds between two looks at the curve
PATIENCE = 120.0  # seconds that a Trainer may take for its last checkpoint

Point = dict[str, float]  # a line of the curve: epoch, loss, validation_recall_k, seconds


class TrainingError(Exception):
    """The Trainer ended without a model; the text is what it said."""


class EndedError(Exception):
    """Somebody ended the Trainer: its settings are not to blame."""


def train(options: Options, watch: Callable[[Point], bool], kept: tuple[int, ...] = ()) -> dict[str, Any] | None:
    """Trains, or goes on where an earlier call was ended.

    Args:
        options: What the Trainer is told. Its log goes beside output_path, in a folder of this training alone.
        watch: Told of every epoch once, in their order; training is given up where it returns True.
        kept: File descriptors that the Trainer holds open as long as it lives.

    Returns:
        model_metadata.json of the model; None where training was given up.

    Raises:
        TrainingError: there is no model.
        EndedError: the Trainer was asked to stop, or killed.
    """
    said = Path(options.output_path).parent / LOG
    if Path(options.output_path, METADATA).exists():
        return _document(options)
    said.parent.mkdir(parents=True, exist_ok=True)
    with open(said, "ab") as log:
        begun = log.tell()  # an earlier call may have said something too
        # A session of its own: Ctrl-C reaches this process alone, which asks the Trainer for a checkpoint.
        process = subprocess.Popen(
            command(options),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
            pass_fds=kept,
        )
        try:
            if _is_given_up(process, Path(options.checkpoints, LOGS, CURVE), watch):
                process.kill()  # nobody will go on with it: no checkpoint to wait for
                process.wait()
                return None
        finally:
            _end(process)
    if process.returncode == EXIT_CODE or process.returncode < 0:
        how = "asked to stop" if process.returncode == EXIT_CODE else f"ended by signal {-process.returncode}"
        raise EndedError(f"the Trainer was {how}")
    if process.returncode:
        raise TrainingError(_last_words(said, begun))
    return _document(options)


def command(options: Options) -> list[str]:
    """The Trainer's command line: every flag whose value is not the default."""
    flags = []
    for field in fields(Options):
        value, flag = getattr(options, field.name), f"--{field.name.replace('_', '-')}"
        if isinstance(value, bool):
            flags += [flag] if value else []
        elif value != field.default:
            flags += [flag, str(value)]
    return [sys.executable, "-m", "trainer_image.main", *flags]


def _environment() -> dict[str, str]:
    """Ours, with the repository's root where Python looks for modules, whatever the working directory is."""
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _is_given_up(process: subprocess.Popen[bytes], curve: Path, watch: Callable[[Point], bool]) -> bool:
    """Waits for the end; True where `watch` did not want to."""
    seen = 0
    while process.poll() is None:
        for point in read_curve(curve)[seen:]:
            seen += 1
            if watch(point):
                return True
        time.sleep(LOOK)
    return False


def read_curve(path: Path) -> list[Point]:
    """The epochs so far; a line that is still being written is none."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    rows = csv.DictReader(line for line in lines if line.endswith("\n"))
    return [{name: float(value) for name, value in row.items()} for row in rows]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks a Trainer that is still there to write a checkpoint and end."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _document(options: Options) -> dict[str, Any]:
    return storage.read_json(storage.join(options.output_path, METADATA), "the model's metadata")


def _last_words(log: Path, begun: int) -> str:
    """The Trainer's sentence about bad input, or the end of what it printed from byte `begun` on."""
    text = log.read_bytes()[begun:].decode(errors="replace")
    lines = text.strip().splitlines() or ["nothing was printed"]
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return said[-1] if said else f"{lines[-1]} ({log})"
