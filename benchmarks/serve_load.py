"""Servers as processes, load on them by wrk, and their memory."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from components.common.errors import InputError

SCRIPT = Path(__file__).with_name("serve_wrk.lua")
START_SECONDS, STOP_SECONDS = 120, 30


class Load(NamedTuple):
    """What wrk saw: requests, seconds, latencies in milliseconds, answers that were no 2xx, and broken connections."""

    requests: int
    seconds: float
    p50: float
    p95: float
    p99: float
    refused: int
    broken: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


class Server(NamedTuple):
    """A process that serves: its port, its id, and the file with what it said."""

    port: int
    pid: int
    log: Path


def wrk() -> str:
    """The load generator.

    Raises:
        InputError: it is not installed.
    """
    path = shutil.which("wrk")
    if not path:
        raise InputError("the program wrk", "nothing", "the load generator", "Install it: apt-get install wrk.")
    return path


@contextlib.contextmanager
def serving(module: str, *arguments: str, **environment: str) -> Iterator[Server]:
    """A server as a process of its own, until the block ends; ready when the block begins.

    Args:
        module: Run by `python -m`; it is given the flag --port and must answer GET /health with 200 when it is ready.
        arguments: Further arguments.
        environment: Further variables.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.NamedTemporaryFile("wb", suffix=".log") as log:
        command = [sys.executable, "-m", module, *arguments, "--port", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        try:
            _wait(process, port, Path(log.name))
            yield Server(port, process.pid, Path(log.name))
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")


def load(server: Server, bodies: list[str], connections: int, seconds: float) -> Load:
    """Posts the bodies in turn to /predict, from as many kept connections."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(bodies) + "\n")
        file.flush()
        address = f"http://127.0.0.1:{server.port}/predict"
        command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout=10s", "-s", str(SCRIPT)]
        done = subprocess.run([*command, address, "--", file.name], capture_output=True, text=True, check=True)
    return Load(**json.loads(done.stdout.splitlines()[-1]))


def resident_mib(pid: int) -> float:
    """Memory that a process has now."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has ended")


def soak(server: Server, bodies: list[str], connections: int, seconds: float) -> tuple[Load, float, float]:
    """Load for a long time.

    Returns:
        What wrk saw, the server's memory after the first minute (or third, if that is less), and at the end, in MiB.
    """
    settled: list[float] = []
    timer = threading.Timer(min(60, seconds / 3), lambda: settled.append(resident_mib(server.pid)))
    timer.start()
    try:
        found = load(server, bodies, connections, seconds)
    finally:
        timer.cancel()
        timer.join()
    return found, settled[0], resident_mib(server.pid)
