"""How far a long step is: a bar on a terminal, a line every few seconds in a log."""

import contextlib
import sys
import time
from collections.abc import Iterator

SECONDS_BETWEEN_LINES = 10.0

_current: "Progress | None" = None


class Progress:
    """Counts rows, or something else; see `shown`."""

    def __init__(self, what: str, total: int, unit: str):
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self.started = self.said = time.monotonic()

    def advance(self, rows: int) -> None:
        self.done += rows
        if time.monotonic() - self.said >= SECONDS_BETWEEN_LINES:
            self.say()

    def say(self) -> None:
        self.said = time.monotonic()
        speed = self.done / max(self.said - self.started, 1e-9)
        share = f"{self.done / self.total:.0%}, " if self.total else ""
        print(f"{self.what}: {self.done:,} {self.unit} ({share}{speed:,.0f} {self.unit}/s)", file=sys.stderr)


class _Bar(Progress):
    def __init__(self, what: str, total: int, unit: str):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        super().__init__(what, total, unit)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self.bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task(what, total=total or None)

    def advance(self, rows: int) -> None:
        self.done += rows
        self.bar.advance(self.task, rows)


@contextlib.contextmanager
def shown(what: str, total: int = 0, unit: str = "rows") -> Iterator[None]:
    """Shows the rows that `advance` reports from anywhere in this process, and a closing line.

    Args:
        what: The step, such as "Writing examples".
        total: Rows in all; 0 when that is not known.
        unit: What is counted, where it is not rows.
    """
    global _current
    current = (_Bar if sys.stderr.isatty() else Progress)(what, total, unit)
    _current = current
    try:
        with current.bar if isinstance(current, _Bar) else contextlib.nullcontext():
            yield
        current.say()
    finally:
        _current = None


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Says that a step of unknown length has begun, and how long it took."""
    print(f"{what} ...", file=sys.stderr, flush=True)
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


def advance(rows: int) -> None:
    """Reports rows done. On a Beam worker in another process there is nothing to show, and this does nothing."""
    if _current is not None:
        _current.advance(rows)
