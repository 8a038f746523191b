"""What a person sees while the model trains: a bar, a line an epoch, warnings, TensorBoard, and a CSV log."""

import csv
import sys
import time
from typing import Any

import rich.console
import rich.progress
import tensorflow as tf

from components.common import storage
from trainer_image.steps import Sums
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
        rows: Training purchases, all of which an epoch holds once.
        warm: Epochs that the warm-up is part of.
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
        rows: int,
        warm: int,
        logs: str,
        curve: list[dict[str, Any]],
        seconds: float,
        quiet: bool,
    ):
        self.epochs, self.steps, self.rows, self.warm = epochs, steps, rows, warm
        self.console = rich.console.Console(quiet=quiet)
        self.writer = tf.summary.create_noop_writer() if quiet else tf.summary.create_file_writer(logs)
        self.csv_path = "" if quiet else storage.join(logs, CSV)
        self.warned: set[str] = set()
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[rate]:,.0f} examples/s{task.fields[loss]}{task.fields[recall]}"),
            rich.progress.TimeRemainingColumn(),
        )
        hidden = quiet or not self.console.is_terminal
        self.bar = rich.progress.Progress(*columns, console=self.console, disable=hidden)
        self.task = self.bar.add_task("epoch 1", total=epochs * steps, rate=0.0, loss="", recall="")
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

    def steps_done(self, epoch: int, done: int, sums: Sums, waited: float) -> None:
        """After every call: how many steps of the epoch are done, what they held, seconds spent waiting for input."""
        self.training_seconds = time.perf_counter() - self.epoch_started
        self.waited += waited
        completed = (epoch - 1) * self.steps + done
        loss = " · loss {:.3f} (chance {:.3f})".format(*means(sums))
        self.bar.update(self.task, description=f"epoch {epoch}", completed=completed, rate=self._rate(done), loss=loss)
        self.done = done

    def epoch_done(self, epoch: int, sums: Sums, found: Validation | None) -> dict[str, Any]:
        """Prints, logs and returns one epoch. Its rate leaves validation out."""
        recalls = found.recalls if found else {}
        loss, chance = means(sums)
        point = {
            "epoch": epoch,
            "loss": loss,
            "chance": chance,
            **{f"validation_recall_{k}": value for k, value in recalls.items()},
            "examples_per_s": self._rate(self.done),
            "seconds": self.seconds,
        }
        self._log(point)
        recall = " ".join(f"@{k} {value:.3f}" for k, value in recalls.items())
        validated = f"validation recall {recall}  " if found else ""
        self.bar.update(self.task, recall=f" · recall {recall}" if found else "")
        self.say(
            f"epoch {epoch:>3}/{self.epochs}  loss {loss:.4f} (chance {chance:.3f})  {validated}"
            f"{point['examples_per_s']:,.0f} examples/s  {point['seconds']:.0f} s"
        )
        self._warn(epoch, loss, chance, found)
        self._new_epoch()
        return point

    def _rate(self, done: int) -> float:
        return done * self.rows / self.steps / max(self.training_seconds, 1e-9)

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

    def _warn(self, epoch: int, loss: float, chance: float, found: Validation | None) -> None:
        """Says once what would otherwise show only at the end."""
        if found and found.collapsed:
            self._warn_once("collapse", COLLAPSE.format(found.collapsed))
        elif loss >= chance > 0 and epoch > max(self.warm, 1):  # where chance is 0, there was nothing to choose from
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


def means(sums: Sums) -> tuple[float, float]:
    """The loss per purchase and that of chance; 0 where nothing was held, as in a step that hides no product."""
    return (sums.loss / sums.weight, sums.chance / sums.weight) if sums.weight else (0.0, 0.0)
