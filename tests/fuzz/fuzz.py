"""Tries a sample of cases in processes of their own, so that one that crashes or hangs is a line of the table too."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import cases, once, runs
from tests.fuzz.judge import FAULTS, HANG, OUTCOMES, SECONDS, TRACEBACK, Case, Fuzzer, Outcome
from tests.fuzz.runs import Run

LOOK = 0.2  # seconds between two looks at the processes
ROOT = Path(__file__).resolve().parents[2]


class Tried(NamedTuple):
    """A case, in words, and what became of it."""

    kind: str
    component: str
    what: str
    outcome: str
    said: str


def in_this_process(finished: tuple[Run, Run], chosen: Iterable[Case], seed: int) -> list[Tried]:
    """Tries cases one after the other."""
    with once.prepared():
        fuzzer = Fuzzer(finished, seed)
        return [_tried(case, fuzzer(case)) for case in chosen]


def in_processes(mutations: int, seed: int, processes: int) -> list[Tried]:
    """Makes two runs, and tries a sample of cases.

    Args:
        mutations: How many.
        seed: Of the sample, and of what is random in the cases.
        processes: How many at a time.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with open(folder / "log.txt", "w") as log:
            made = f"from pathlib import Path; from tests.fuzz import runs; runs.make(Path({str(folder)!r}))"
            done = subprocess.run([sys.executable, "-c", made], stdout=log, stderr=log, cwd=ROOT, check=False)
        if done.returncode:
            raise RuntimeError(f"no runs to try: {(folder / 'log.txt').read_text()[-4_000:]}")
        chosen = cases.sample(_runs(folder), mutations, seed)
        command = [sys.executable, "-m", "tests.fuzz", "work", str(folder), str(mutations), str(seed)]
        parts = [range(first, len(chosen), processes) for first in range(processes)]
        workers = [Worker(command, part, folder) for part in parts if part]
        for worker in workers:
            stack.callback(worker.kill)
        shown = time.monotonic()
        while not all([worker.is_done() for worker in workers]):  # noqa: C419  every one is looked at
            time.sleep(LOOK)
            if time.monotonic() - shown > 60:
                shown = time.monotonic()
                print(f"{sum(len(worker.found) for worker in workers)} of {len(chosen)}", file=sys.stderr, flush=True)
        found = {number: outcome for worker in workers for number, outcome in worker.found.items()}
    return [_tried(case, found[number]) for number, case in enumerate(chosen)]


def work(folder: Path, mutations: int, seed: int, numbers: Iterable[int]) -> None:
    """What a process does: tries the cases of these numbers and prints a line before and after each."""
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what the components say
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    finished = _runs(folder)
    chosen = cases.sample(finished, mutations, seed)
    with once.prepared():
        fuzzer = Fuzzer(finished, seed)
        for number in numbers:
            print(json.dumps([number]), file=lines, flush=True)
            print(json.dumps([number, *fuzzer(chosen[number])]), file=lines, flush=True)


class Worker:
    """A process that tries some cases, started again behind one that it did not survive.

    Args:
        command: What it does, behind which start, stop and step of `numbers` are put; see `work`.
        numbers: Of the cases.
        folder: Where it may write.

    Attributes:
        found: What became of each case, by its number.
    """

    def __init__(self, command: list[str], numbers: range, folder: Path):
        self.command, self.numbers = command, numbers
        self.file = folder / f"worker-{numbers.start}.txt"
        self.found: dict[int, Outcome] = {}
        self.lines = 0
        self._start(numbers)

    def _start(self, numbers: range) -> None:
        self.heard = time.monotonic()
        command = [*self.command, *(str(value) for value in (numbers.start, numbers.stop, numbers.step))]
        with open(self.file, "ab") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL, cwd=ROOT)

    def is_done(self) -> bool:
        """Looks how far it is; where the process has ended before its time, starts another one."""
        ended = self.process.poll() is not None
        lines = [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]
        self.found.update({number: Outcome(*said) for number, *said in lines if said})
        if len(lines) > self.lines:
            self.lines, self.heard = len(lines), time.monotonic()
        hangs = time.monotonic() - self.heard > SECONDS + 300
        if not ended and not hangs:
            return False
        if ended and len(self.found) == len(self.numbers):
            return True
        self.kill()
        begun = [number for number in self.numbers if number not in self.found]
        said = f"the process ended with code {self.process.returncode}"
        self.found[begun[0]] = Outcome(HANG if hangs else TRACEBACK, said)
        if len(begun) > 1:
            self._start(range(begun[1], self.numbers.stop, self.numbers.step))
        return len(begun) == 1

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def table(tried: Iterable[Tried]) -> str:
    """A line for every kind of mutation and component, and one for all."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for one in tried:
        key = one.kind.split(",")[0], one.component
        counts.setdefault(key, Counter())[one.outcome] += 1
    head = ("mutation", "component", "tried", *OUTCOMES)
    total = sum(counts.values(), Counter[str]())
    rows = [(*key, count) for key, count in sorted(counts.items())] + [("all", "", total)]
    cells = [head] + [
        (kind, component, f"{count.total():,}", *(f"{count[name]:,}" if count[name] else "-" for name in OUTCOMES))
        for kind, component, count in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (zip(row, widths, strict=True) for row in cells)
    ]
    return "\n".join(line.rstrip() for line in lines)


def faults(tried: Iterable[Tried]) -> list[str]:
    """What must not be, a line each."""
    wrong = [one for one in tried if one.outcome in FAULTS]
    wrong.sort(key=lambda one: (FAULTS.index(one.outcome), one.component, one.kind))
    return [f"{one.outcome}: {one.component}: {one.kind}: {one.what}: {one.said}" for one in wrong]


def _tried(case: Case, outcome: Outcome) -> Tried:
    return Tried(case.kind, case.component, case.what, *outcome)


def _runs(folder: Path) -> tuple[Run, Run]:
    return runs.Run(folder / "one"), runs.Run(folder / "two")
