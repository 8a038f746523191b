"""Checkpoints: everything that a run needs to go on as if it had never ended, in one file that is whole or not there.

A checkpoint is a NumPy archive: arrays by name, and the rest as JSON. Zip's checksums tell a damaged one.
"""

import contextlib
import io
import json
import os
import sys
import time
import zipfile
from typing import Any, NamedTuple

import fsspec
import numpy as np

from components.common import storage
from components.common.errors import InputError
from components.common.reach import explained, placed

KEPT = 2
LOGS = "logs"  # of the run that the checkpoints belong to
ABLATION = "ablation"  # the checkpoints of the trainings that it is compared with, seed-* each
REFIT = "refit"  # those of the training on training and validation split
STEPS = ("step-*.npz", "step-*.npz.partial")
WRITTEN = (
    *STEPS,
    *(f"{folder}/{steps}" for folder in (f"{ABLATION}/seed-*", REFIT) for steps in STEPS),
    *(f"{folder}/{name}" for folder in (LOGS, f"{LOGS}/{REFIT}") for name in ("events.out.tfevents.*", "curve.csv")),
)
DOCUMENT = "document"
MOST_OF_THE_TIME = 0.05  # that saving may take


class Saved(NamedTuple):
    """Arrays by name, and what JSON can hold."""

    arrays: dict[str, np.ndarray]
    document: dict[str, Any]


class Checkpoints:
    """The newest two checkpoints of one run, in a folder, local or gs://."""

    def __init__(self, folder: str, minutes: float):
        """Takes the folder and how many minutes may pass between two checkpoints."""
        self.folder, self.seconds = folder, 60 * minutes
        self.saved_at = time.monotonic()
        self.took = 0.0

    def is_due(self, epoch_ended: bool) -> bool:
        """At the end of an epoch, unless saving would take too much of the time, and every so many minutes."""
        since = time.monotonic() - self.saved_at
        return since >= self.seconds or (epoch_ended and since * MOST_OF_THE_TIME >= self.took)

    def save(self, step: int, saved: Saved) -> None:
        """Writes a checkpoint, then removes the older ones. Where that fails, it says so and keeps the last one."""
        started = time.monotonic()
        path = storage.join(self.folder, f"step-{step:012}.npz")
        try:
            _write(path, saved)
        except (OSError, InputError) as error:
            kept = self.paths()[-1:]
            what = f"the last one stays: {kept[0]}" if kept else "there is no earlier one"
            print(f"warning: no checkpoint of step {step:,} ({error}); {what}", file=sys.stderr)
        else:
            for old in self.paths()[:-KEPT]:
                storage.remove(old)
        self.saved_at = time.monotonic()
        self.took = self.saved_at - started

    def newest(self) -> Saved | None:
        """The newest whole checkpoint; says so when a newer one is damaged, which is then removed.

        Raises:
            InputError: one is out of reach.
        """
        for path in reversed(self.paths()):
            try:
                return _read(path)
            except InputError:  # a ValueError too
                raise
            except (zipfile.BadZipFile, KeyError, ValueError, EOFError, RecursionError) as error:
                print(f"warning: {path} is damaged ({error}); going back to the one before", file=sys.stderr)
                storage.remove(path)
        return None

    def paths(self) -> list[str]:
        """Oldest first."""
        return storage.list_folder(self.folder, "step-*.npz")

    def remove(self) -> None:
        """Removes what runs wrote, and local folders that then are empty: the user may keep other things there."""
        for written in WRITTEN:
            for path in storage.list_folder(self.folder, written):
                storage.remove(path)
        if not storage.is_remote(self.folder):
            ablations = storage.list_folder(self.folder, f"{ABLATION}/seed-*")
            others = (storage.join(self.folder, name) for name in (ABLATION, REFIT, f"{LOGS}/{REFIT}", LOGS))
            for folder in (*ablations, *others, self.folder):
                with contextlib.suppress(OSError):  # not empty, or not there
                    os.rmdir(folder)

    def remove_if_empty(self) -> None:
        """Where nothing was saved, nothing is left."""
        if not self.paths():
            self.remove()


def _write(path: str, saved: Saved) -> None:
    arrays: dict[str, Any] = {DOCUMENT: np.frombuffer(json.dumps(saved.document).encode(), np.uint8), **saved.arrays}
    if storage.is_remote(path):
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        with (
            explained(path),
            placed(path),
            fsspec.open(path, "wb") as file,
        ):  # an object appears when its upload is complete
            file.write(content.getbuffer())
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.partial"
    try:
        with open(partial, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.rename(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


def _read(path: str) -> Saved:
    with explained(path), storage.opened(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return Saved(arrays, json.loads(arrays.pop(DOCUMENT).tobytes()))
