"""What a person sees while the model trains: a bar, a line an epoch, TensorBoard, and the curve for the report."""

import time
from typing import Any

import rich.console
import rich.progress
import tensorflow as tf

from trainer_image.inputs import Rows
from trainer_image.model import TwoTower


class Progress:
    """Follows the training loop.

    Attributes:
        curve: One dict an epoch: epoch, loss, validation_recall_k, examples_per_s, seconds.
    """

    def __init__(self, epochs: int, steps: int, batch_rows: int, chance: float, logs: str):
        self.epochs, self.steps, self.batch_rows = epochs, steps, batch_rows
        self.chance = chance
        self.curve: list[dict[str, Any]] = []
        self.writer = tf.summary.create_file_writer(logs)
        self.console = rich.console.Console()
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[rate]:,.0f} examples/s · loss {task.fields[loss]:.3f}"),
            rich.progress.TextColumn(f"(chance {self.chance:.3f})"),
            rich.progress.TimeRemainingColumn(),
        )
        self.bar = rich.progress.Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("epoch 1", total=epochs * steps, rate=0.0, loss=self.chance)
        self.started = self.epoch_started = time.perf_counter()
        self.training_seconds = 0.0

    def header(self, model: TwoTower, rows: Rows, replicas: int, loss: str) -> None:
        """Says what is about to be trained, and starts the clock."""
        parameters = sum(int(tf.size(variable)) for variable in model.weights)
        self.console.print(
            f"{len(rows.target):,} training rows, {len(model.catalogue):,} products, {parameters:,} parameters\n"
            f"{replicas} replica{'s' if replicas > 1 else ''}, {self.batch_rows:,} rows a step, {self.steps:,} steps "
            f"an epoch, {loss} softmax",
            highlight=False,
            soft_wrap=True,
        )
        self.bar.start()
        self.started = self.epoch_started = time.perf_counter()

    def steps_done(self, epoch: int, done: int, loss: float) -> None:
        self.training_seconds = time.perf_counter() - self.epoch_started
        rate = done * self.batch_rows / self.training_seconds
        completed = (epoch - 1) * self.steps + done
        self.bar.update(self.task, description=f"epoch {epoch}", completed=completed, rate=rate, loss=loss)

    def epoch_done(self, epoch: int, loss: float, recalls: dict[int, float]) -> None:
        """Prints, logs and remembers one epoch. Its rate leaves validation out."""
        now = time.perf_counter()
        point = {
            "epoch": epoch,
            "loss": loss,
            **{f"validation_recall_{k}": value for k, value in recalls.items()},
            "examples_per_s": self.steps * self.batch_rows / self.training_seconds,
            "seconds": now - self.started,
        }
        self.curve.append(point)
        with self.writer.as_default(step=epoch):
            for name, value in point.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
        recall = " ".join(f"@{k} {value:.3f}" for k, value in recalls.items())
        self.console.print(
            f"epoch {epoch:>3}/{self.epochs}  loss {loss:.4f} (chance {self.chance:.3f})  validation recall {recall}  "
            f"{point['examples_per_s']:,.0f} examples/s  {point['seconds']:.0f} s",
            highlight=False,
            soft_wrap=True,
        )
        self.epoch_started = time.perf_counter()

    def close(self) -> None:
        self.bar.stop()
        self.writer.close()
