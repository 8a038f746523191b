"""A process that is started together with all that it will start, and ended with them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

PATIENCE = 5.0  # seconds in which processes that were asked to end may remove what is half written
LOOK = 0.05  # seconds between two looks at whether they have ended
running: set[subprocess.Popen[str]] = set()  # the first process of every group of this one


@contextlib.contextmanager
def started(module: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Starts a module as a process with a group of its own, which ends where the block fails.

    What it prints, on stdout and stderr, is on the process's stdout. Its stdin ends when this process does, however.

    Args:
        module: Its name and its arguments.
        environment: What it has besides this process's.
    """
    with contextlib.ExitStack() as streams:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches only this process
        )
        for stream in filter(None, (process.stdin, process.stdout)):
            streams.enter_context(stream)
        running.add(process)
        try:
            yield process
        except BaseException:
            _end(process)
            raise
        finally:
            running.discard(process)
        process.wait()


def end_all() -> None:
    """Ends all groups, those too that other threads have started."""
    for process in list(running):
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Asks the processes of a group to end, and kills those that are still there after a while."""
    try:
        _signal(process, signal.SIGINT)
        until = time.monotonic() + PATIENCE
        while _signal(process, 0) and time.monotonic() < until:
            time.sleep(LOOK)
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[str], number: int) -> bool:
    """Sends a signal to the whole group; returns whether there is still one."""
    process.poll()  # as long as nobody asks how it ended, it is there
    try:
        os.killpg(process.pid, number)
    except OSError:  # ProcessLookupError; on macOS a PermissionError
        return False
    return True
