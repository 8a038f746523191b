"""A pipeline's steps as a person wants to see them: a line each, which is rewritten while the step runs."""

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipelines import transcript
from pipelines.local import Watcher

REFRESHED = 4  # times a second


class Steps(Watcher):
    """Shows every step when it has ended, with its time and what it found; on a terminal how far it is before that.

    Args:
        console: Where.
        run: What to call the run, where there is more than one.
    """

    def __init__(self, console: Console, run: str = ""):
        self.console, self.run = console, run
        self.running: dict[str, Running] = {}
        self.seconds: dict[str, list[float]] = {}  # that each step took, in every run

    def of(self, run: str) -> "Steps":
        """The same steps for another run, shown beside this one's."""
        other = copy.copy(self)
        other.run = run
        return other

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows, on a terminal, the steps that run until the block ends."""
        if not self.console.is_terminal:
            yield
            return
        live = Live(get_renderable=self._progress, console=self.console, transient=True, refresh_per_second=REFRESHED)
        with live:
            yield

    def started(self, step: str) -> None:
        self.running[self.run] = Running(self._line(step, ""), time.monotonic())

    def said(self, step: str, line: str) -> None:
        if line.startswith(transcript.WARNING):
            self._print(step, line, "yellow")
        self.running[self.run].progress = transcript.progress(line) or self.running[self.run].progress

    def ended(self, step: str, metrics: dict[str, Any]) -> None:
        seconds = self.running.pop(self.run).seconds
        self.seconds.setdefault(step, []).append(seconds)
        self._print(step, f"{seconds:4.0f} s  {found(step, metrics)}")

    def times(self) -> str:
        """The seconds of every step, in one line."""
        return ", ".join(
            f"{step} {' + '.join(f'{each:.0f}' for each in took)} s" for step, took in self.seconds.items()
        )

    def _print(self, step: str, text: str, style: str | None = None) -> None:
        self.console.print(self._line(step, text), style=style, markup=False, highlight=False, soft_wrap=True)

    def _line(self, step: str, text: str) -> str:
        return (f"{self.run:<9}" if self.run else "") + f"{step:<15} {text}"

    def _progress(self) -> Text:
        lines = [f"{each.line}{each.seconds:4.0f} s  {each.progress}" for each in list(self.running.values())]
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


@dataclass
class Running:
    """A step that runs: the beginning of its line, when it began, and how far it is."""

    line: str
    begun: float
    progress: str = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun


def found(step: str, metrics: dict[str, Any]) -> str:
    """What a step found, in half a line, from the metrics that it logged."""
    return FOUND[step](metrics) if step in FOUND else ""


def _rows(metrics: dict[str, Any]) -> str:
    train, validation, test, products = (
        f"{int(metrics[name]):,}" for name in ("train_rows", "validation_rows", "test_rows", "products")
    )
    return f"{train} training rows, {validation} validation, {test} test, {products} products"


def _tokens(metrics: dict[str, Any]) -> str:
    counts = {name.removesuffix("_tokens"): int(value) for name, value in metrics.items() if name.endswith("_tokens")}
    return "tokens: " + ", ".join(
        f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda each: -each[1])
    )


def _recalls(metrics: dict[str, Any], prefix: str = "recall_") -> str:
    values = {int(name.removeprefix(prefix)): value for name, value in metrics.items() if name.startswith(prefix)}
    figures = " ".join(f"{value:.3f}".lstrip("0") for _, value in sorted(values.items()))
    return f"Recall@{'/'.join(str(k) for k in sorted(values))} {figures}"


def _trained(metrics: dict[str, Any]) -> str:
    return f"{_recalls(metrics, 'validation_recall_')} on validation, best epoch {int(metrics['best_epoch'])}"


def _evaluated(metrics: dict[str, Any]) -> str:
    return f"{_recalls(metrics)} on test: {'to be released' if metrics['promote'] else 'not to be released'}"


def _released(metrics: dict[str, Any]) -> str:
    if not metrics["promoted"]:
        return "not released"
    return f"released: {int(metrics['lists']):,} lists proven, {int(metrics['mismatches'])} mismatches"


FOUND: dict[str, Callable[[dict[str, Any]], str]] = {
    "data-extractor": _rows,
    "vocab-builder": _tokens,
    "trainer": _trained,
    "evaluator": _evaluated,
    "exporter": _released,
}
