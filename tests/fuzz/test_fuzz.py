"""Mutations of finished runs: none ends in a traceback or hangs, and none changes a figure without a word."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.common.errors import InputError
from tests.fuzz import cases, fuzz, judge, readers, runs
from tests.fuzz.judge import Case, Fuzzer, Scene
from tests.fuzz.readers import Figures
from tests.fuzz.runs import Run, replace

SEED = 19


def test_a_few_dozen_mutations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an evaluation and a release, which take longest; the second run is one of data alone."""
    finished = runs.make(tmp_path, whole=False)
    tried = fuzz.in_this_process(finished, cases.sample(finished, 36, SEED), SEED)
    capsys.readouterr()
    assert not fuzz.faults(tried), fuzz.table(tried)


@pytest.mark.slow
@pytest.mark.skip(reason="of 865 mutations three are open: see README, Tests; python -m tests.fuzz runs them")
def test_a_thousand_mutations(capsys: pytest.CaptureFixture[str]) -> None:
    tried = fuzz.in_processes(1_000, SEED, os.cpu_count() or 1)
    with capsys.disabled():
        print(f"\n{fuzz.table(tried)}")
    assert len(tried) == 1_000
    assert not fuzz.faults(tried)


def test_what_a_component_does_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a component that reads one file, does what the file says, and otherwise writes its first line."""
    run = Run(tmp_path / "one")
    run.folder.mkdir()
    (run.folder / "in.txt").write_text("first\nsecond")

    def reader(run: Run, output: Path, **paths: str) -> Figures:
        told = (run.folder / "in.txt").read_text().splitlines()[0]
        if told == "loop":
            while True:
                pass
        if told == "trip":
            raise KeyError(told)
        if told in ("tell", "mumble", "spill"):
            if told == "spill":
                output.parent.mkdir()
                output.write_text("half")
            raise InputError("in.txt" if told != "mumble" else "a file", told, "first", "Write it again.")
        return {"line": told}

    monkeypatch.setitem(readers.READERS, "reader", reader)
    monkeypatch.setattr(judge, "CPU_SECONDS", 0.2)
    fuzzer = Fuzzer((run, run), SEED)

    def outcome(content: str, **rules: object) -> str:
        def mutate(scene: Scene) -> Mapping[str, str] | None:
            replace(scene.run.folder / "in.txt", content.encode())
            return None

        case = Case("kind", "reader", content, mutate, (("in.txt",),), **rules)  # type: ignore[arg-type]
        return fuzzer(case).name

    found = {
        content: outcome(content) for content in ("first\nthird", "other", "trip", "tell", "mumble", "spill", "loop")
    }
    assert found == {
        "first\nthird": "accepted",
        "other": "silent pass",
        "trip": "traceback",
        "tell": "refused",
        "mumble": "wrong words",
        "spill": "wrong words",
        "loop": "hang",
    }
    assert outcome("other", right=judge.anything) == "accepted"
    assert outcome("tell", refusable=False) == "wrong words"
    assert (run.folder / "in.txt").read_text() == "first\nsecond"


def test_a_process_that_dies_is_a_line_of_the_table(tmp_path: Path) -> None:
    program = """
import json, os, sys
for number in range(*map(int, sys.argv[1:])):
    print(json.dumps([number]), flush=True)
    if number == 5:
        os.abort()
    print(json.dumps([number, "refused", "so"]), flush=True)
"""
    worker = fuzz.Worker([sys.executable, "-c", program], range(1, 8, 2), tmp_path)
    while not worker.is_done():
        time.sleep(0.02)
    died = judge.Outcome("traceback", "the process ended with code -6")
    assert worker.found == {5: died, **dict.fromkeys((1, 3, 7), judge.Outcome("refused", "so"))}


def test_a_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    runs.write_log(run, 1)

    def words(seed: int) -> list[tuple[str, str, str]]:
        return [(case.kind, case.component, case.what) for case in cases.sample((run, run), 50, seed)]

    assert words(1) == words(1)
    assert len(set(words(1))) == 50
    assert words(1) != words(2)
