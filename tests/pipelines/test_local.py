"""A pipeline run here by kfp.local: what is shown, what is kept, and what ends with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.common.errors import InputError
from pipelines import local
from tests.pipelines import tiny

ROOT = Path(__file__).resolve().parents[2]
NAME = "my shop [v1] $HOME 'x' \"y\" a*b?"


def start(folder: Path, kind: str, runs: int = 1, python: str = sys.executable) -> subprocess.Popen[str]:
    """The program, in a session of its own as in a terminal of its own."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [python, "-m", tiny.__name__, str(folder), kind, str(runs)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_alive(pid: int) -> bool:
    """Whether a process is there, and not only waiting for its parent to hear of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def hanging(process: subprocess.Popen[str], folder: Path) -> list[int]:
    """The processes of a component that waits for ever, once it does."""
    pids = folder / "pids"
    while not pids.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return [int(pid) for pid in pids.read_text().split()]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[subprocess.Popen[str], str, str, Path]]:
    """Two runs at once in one folder, by an interpreter whose path holds what a shell and a glob take amiss."""
    folder = tmp_path_factory.mktemp("runs") / NAME
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "somebody else's").mkdir()
    processes = [start(folder, "meet", 2, python=str(folder / ".venv/bin/python")) for _ in range(2)]
    return [(process, *process.communicate(), folder) for process in processes]


@pytest.mark.slow
def test_two_runs_at_once_in_a_folder_of_any_name(met: list[tuple[subprocess.Popen[str], str, str, Path]]) -> None:
    for process, out, err, _ in met:
        assert process.returncode == 0, out + err
        assert out.splitlines()[-1] == "first.text=met second.twice=metmet"
    folders = sorted(met[0][3].glob("tiny-*"))
    assert len(folders) == 2
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == ["first", "second"]


@pytest.mark.slow
def test_a_person_sees_what_matters_and_the_log_holds_all(
    met: list[tuple[subprocess.Popen[str], str, str, Path]],
) -> None:
    for _, out, err, _ in met:
        assert [line.split()[0] for line in out.splitlines()[:-1]] == ["first", "first", "second"]
        assert "first           warning: it is only a test" in out
        assert not err
    for folder in met[0][3].glob("tiny-*"):
        log = (folder / "first" / local.LOG).read_text()
        for said in ("Executing task 'first'", "Got executor_input:", "warning: it is only a test", "Meeting: 1.0 s"):
            assert said in log
        assert "\x1b" not in log  # no colours in a file
        assert "Executing task 'second'" in (folder / "second" / local.LOG).read_text()


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, Path]]:
    """Runs that fail: exit code, what stderr says, folder."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("bad", "crash")}
    processes = {kind: start(folder, kind) for kind, folder in folders.items()}
    said = {kind: process.communicate()[1] for kind, process in processes.items()}
    return {kind: (processes[kind].returncode, said[kind], folder) for kind, folder in folders.items()}


@pytest.mark.slow
def test_bad_input_is_a_sentence(failed: dict[str, tuple[int, str, Path]]) -> None:
    code, said, folder = failed["bad"]
    assert code == 2
    error, log = said.splitlines()
    assert error == "error: first failed: --kind: found bad, expected a good one. Be good."
    (run,) = folder.glob("tiny-*")
    assert log.split() == ["log", str(run / "first" / local.LOG)]
    assert not (run / "second").exists()


@pytest.mark.slow
def test_a_failure_shows_the_last_lines_and_where_the_others_are(failed: dict[str, tuple[int, str, Path]]) -> None:
    code, said, folder = failed["crash"]
    assert code == 1
    first, *lines, last, log = said.splitlines()
    assert first == "first failed; its last lines:"
    assert last == "RuntimeError: this is the end"
    assert len(lines) < local.LAST_WORDS
    assert str(folder) in log
    assert "about to fail" in Path(log.split()[1]).read_text()


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Ended, whatever happens."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()


@pytest.mark.slow
def test_ctrl_c_and_sigterm_end_all_processes(tmp_path: Path, processes: list[subprocess.Popen[str]]) -> None:
    signals = {"int": signal.SIGINT, "term": signal.SIGTERM, "kill": signal.SIGKILL}
    processes += [start(tmp_path / name, "hang") for name in signals]
    for (name, number), process in zip(signals.items(), processes, strict=True):
        pids = hanging(process, tmp_path / name)
        assert all(map(is_alive, pids))
        process.send_signal(number)
        _, said = process.communicate()
        if number == signal.SIGKILL:  # then it cannot end them, and they end by themselves
            while any(map(is_alive, pids)):
                time.sleep(0.05)
            continue
        assert not any(map(is_alive, pids))
        assert process.returncode == 128 + number
        assert said.splitlines() == ["ended, with all its processes"]


def test_a_run_s_folder_is_its_own(tmp_path: Path) -> None:
    folders = [local.new_folder(str(tmp_path), "tiny") for _ in range(50)]
    assert len(set(folders)) == 50
    assert sorted(folders) == folders  # by time


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "meet"}, "parameters of tiny: found nothing for folder"),
        (
            {"folder": "x", "kind": "meet", "run": 2},
            "parameters of tiny: found run, expected one of folder, kind, runs",
        ),
    ],
)
def test_parameters_are_checked_before_anything_runs(given: dict, said: str, tmp_path: Path) -> None:
    spec = str(tmp_path / "tiny.json")
    tiny.compiler.Compiler().compile(tiny.pipeline, spec)
    with pytest.raises(InputError, match=said):
        local.run(spec, str(tmp_path / "runs"), given)
    assert not (tmp_path / "runs").exists()
