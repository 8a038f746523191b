"""The server as a process of its own."""

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple


class Running(NamedTuple):
    """A server that has said that it is ready."""

    process: subprocess.Popen[str]
    port: int


def start(*flags: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "serving_image.main", *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})


@contextlib.contextmanager
def running(*flags: str, **environment: str) -> Iterator[Running]:
    process = start(*flags, **environment)
    try:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if match := re.search(r"http://[\w.]+:(\d+)$", line.strip()):
                yield Running(process, int(match[1]))
                return
        raise AssertionError(said)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def fetch(port: int, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data) as response:
        return json.loads(response.read())
