"""What a person sees while the model trains: a bar, a line an epoch, warnings, TensorBoard, and a CSV log."""

import csv
import sys
import time
from typing import Any

import rich.console
import rich.progress
import tensorflow as tf

from components.common import storage
from trainer_image.validation import Validation

CSV = "curve.csv"
COLLAPSE = (
    "the model has collapsed: nearly all {} have one embedding, and everybody would be shown the same. "
    "Lower --learning-rate or --l1, or look at the features."
)
STARVED = 0.2  # share of the time spent waiting for input


class Progress:
    """Follows the training loop, on the chief.

    Args:
        epochs: At most.
        steps: Of an epoch.
        batch_rows: Purchases a step stands for.
        chance: The loss of a model that knows nothing.
        logs: Local folder for TensorBoard and the CSV log.
        curve: The epochs of an earlier run that this one continues.
        seconds: That the earlier run took.
        quiet: Show and write nothing: this is not the chief.
    """

    def __init__(
        self,
        *,
        epochs: int,
        steps: int,
        batch_rows: int,
        chance: float,
        logs: str,
        curve: list[dict[str, Any]],
        seconds: float,
        quiet: bool,
    ):
        self.epochs, self.steps, self.batch_rows, self.chance = epochs, steps, batch_rows, chance
        self.console = rich.console.Console(quiet=quiet)
        self.writer = tf.summary.create_noop_writer() if quiet else tf.summary.create_file_writer(logs)
        self.csv_path = "" if quiet else storage.join(logs, CSV)
        self.warned: set[str] = set()
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[rate]:,.0f} examples/s · loss {task.fields[loss]:.3f}"),
            rich.progress.TextColumn(f"(chance {chance:.3f}) {{task.fields[recall]}}"),
            rich.progress.TimeRemainingColumn(),
        )
        hidden = quiet or not self.console.is_terminal
        self.bar = rich.progress.Progress(*columns, console=self.console, disable=hidden)
        self.task = self.bar.add_task("epoch 1", total=epochs * steps, rate=0.0, loss=chance, recall="")
        for point in curve:
            self._log(point)
        self.earlier = seconds
        self.started = time.perf_counter()
        self._new_epoch()

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        self.writer.close()

    @property
    def seconds(self) -> float:
        """Since training began, in all the runs that it took."""
        return self.earlier + time.perf_counter() - self.started

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def steps_done(self, epoch: int, done: int, loss: float, waited: float) -> None:
        """After every call: how many steps of the epoch are done, their mean loss, seconds spent waiting for input."""
        self.training_seconds = time.perf_counter() - self.epoch_started
        self.waited += waited
        completed = (epoch - 1) * self.steps + done
        self.bar.update(self.task, description=f"epoch {epoch}", completed=completed, rate=self._rate(done), loss=loss)
        self.done = done

    def epoch_done(self, epoch: int, loss: float, found: Validation | None) -> dict[str, Any]:
        """Prints, logs and returns one epoch. Its rate leaves validation out."""
        recalls = found.recalls if found else {}
        point = {
            "epoch": epoch,
            "loss": loss,
            **{f"validation_recall_{k}": value for k, value in recalls.items()},
            "examples_per_s": self._rate(self.done),
            "seconds": self.seconds,
        }
        self._log(point)
        recall = " ".join(f"@{k} {value:.3f}" for k, value in recalls.items())
        validated = f"validation recall {recall}  " if found else ""
        self.bar.update(self.task, recall=f"· recall {recall}" if found else "")
        self.say(
            f"epoch {epoch:>3}/{self.epochs}  loss {loss:.4f} (chance {self.chance:.3f})  {validated}"
            f"{point['examples_per_s']:,.0f} examples/s  {point['seconds']:.0f} s"
        )
        self._warn(epoch, loss, found)
        self._new_epoch()
        return point

    def _rate(self, done: int) -> float:
        return done * self.batch_rows / max(self.training_seconds, 1e-9)

    def _new_epoch(self) -> None:
        self.epoch_started = time.perf_counter()
        self.training_seconds = self.waited = 0.0
        self.done = 0

    def _log(self, point: dict[str, Any]) -> None:
        with self.writer.as_default(step=point["epoch"]):
            for name, value in point.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
        self.writer.flush()
        if self.csv_path:
            first = point["epoch"] == 1
            with open(self.csv_path, "w" if first else "a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(point))
                if first:
                    writer.writeheader()
                writer.writerow(point)

    def _warn(self, epoch: int, loss: float, found: Validation | None) -> None:
        """Says once what would otherwise show only at the end."""
        if found and found.collapsed:
            self._warn_once("collapse", COLLAPSE.format(found.collapsed))
        elif loss >= self.chance and epoch > 1:
            self._warn_once(
                "chance", f"after {epoch} epochs the loss is not below that of chance. Change --learning-rate."
            )
        share = self.waited / max(self.training_seconds, 1e-9)
        if share > STARVED and epoch > 1:
            self._warn_once(
                "input",
                f"the device waited {share:.0%} of the epoch for its input. A larger --batch-size or --cache-gib "
                "helps, or more CPU cores.",
            )

    def _warn_once(self, kind: str, text: str) -> None:
        if kind not in self.warned:
            self.warned.add(kind)
            if not self.console.quiet:
                print(f"warning: {text}", file=sys.stderr)
