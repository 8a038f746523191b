"""Starts a cluster of worker processes on this machine's loopback."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAFETY_SECONDS = 600  # nothing is measured: only a test that hangs ends here


def run_cluster(
    program: str,
    workers: int,
    arguments: Sequence[str] = (),
    *,
    chief: bool = False,
    absent: Collection[int] = (),
    addresses: Sequence[str] | None = None,
) -> list[subprocess.CompletedProcess[str]]:
    """Runs one program in every worker of a cluster, each with its own TF_CONFIG, until all have ended.

    Args:
        program: Python source. It runs from the repository's root.
        workers: How many TF_CONFIG names.
        arguments: sys.argv[1:] of every worker.
        chief: The first one is the chief, as on Vertex AI, and TF_CONFIG has Vertex AI's other keys too.
        absent: Indices of workers that TF_CONFIG names and nobody starts.
        addresses: Of the workers; free ports of this machine by default.

    Returns:
        Of every worker that was started, in order: exit code, stdout and stderr. What did not end by itself was killed
        (exit code -9); nothing is left running.
    """
    addresses = addresses or free_addresses(workers)
    processes: list[subprocess.Popen[str]] = []
    with contextlib.ExitStack() as cleanup:
        outputs = []
        for place in range(workers):
            if place in absent:
                continue
            environment = os.environ | {"TF_CONFIG": tf_config(addresses, place, chief)}
            out, err = (cleanup.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(2))
            command = [sys.executable, "-c", program, *arguments]
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err, text=True)
            cleanup.callback(_end, process)
            processes.append(process)
            outputs.append((out, err))
        deadline = time.monotonic() + SAFETY_SECONDS
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0))
        for process in processes:
            _end(process)
        done = []
        for process, files in zip(processes, outputs, strict=True):
            for file in files:
                file.seek(0)
            texts = [file.read() for file in files]
            done.append(subprocess.CompletedProcess(process.args, process.returncode, *texts))
    return done


def tf_config(addresses: Sequence[str], place: int, chief: bool = False) -> str:
    """TF_CONFIG of the worker at `place`, as JSON."""
    if not chief:
        return json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": place}})
    task = {"type": "worker", "index": place - 1} if place else {"type": "chief", "index": 0}
    return json.dumps(
        {
            "cluster": {"chief": [addresses[0]], "worker": list(addresses[1:])},
            "environment": "cloud",
            "task": {**task, "trial": "", "cloud": "a-0"},
            "job": json.dumps({"python_module": "", "args": []}),
        }
    )


def free_addresses(count: int) -> list[str]:
    """host:port of `count` ports that are free now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{server.getsockname()[1]}" for server in sockets]


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
