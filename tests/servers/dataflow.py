"""Dataflow's REST API on this machine: keeps the jobs it is given, runs none, and calls them done or failed."""

import contextlib
import functools
import json
import re
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from tests.servers import waits
from tests.servers.loopback import serving

JOBS = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/jobs(?:/([^/]+))?(/metrics|/messages)?")


class Server(ThreadingHTTPServer):
    """Keeps what was submitted in `jobs`, in order, with the project and region of the request's path.

    Args:
        counters: What every job reports as its user counters: {namespace: {name: value}}.
        error: What every job fails with, if it is to fail.
    """

    daemon_threads = True

    def __init__(self, counters: dict[str, dict[str, int]], error: str) -> None:
        self.counters, self.error = counters, error
        self.running = ""  # the name of a job of somebody else, which is answered with instead of a new one
        self.jobs: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """The endpoint by a name, because Beam speaks REST only to "localhost"."""
        return f"http://localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        project, region, *_ = self._path()
        if body["name"] == self.server.running:
            self._answer(
                {"id": "7", "name": body["name"], "clientRequestId": "another", "currentState": "JOB_STATE_RUNNING"}
            )
            return
        self.server.jobs.append({**body, "projectId": project, "location": region})
        self._answer(self._job(len(self.server.jobs) - 1, "JOB_STATE_PENDING"))

    def do_GET(self) -> None:
        _, _, job, part = self._path()
        if part == "/metrics":
            self._answer({"metrics": self._metrics()})
        elif part == "/messages":
            message = {"id": "1", "messageImportance": "JOB_MESSAGE_ERROR", "messageText": self.server.error}
            self._answer({"jobMessages": [{**message, "time": "2026-01-01T00:00:00Z"}] if self.server.error else []})
        else:
            self._answer(self._job(int(job), "JOB_STATE_FAILED" if self.server.error else "JOB_STATE_DONE"))

    def _path(self) -> tuple[str, ...]:
        matched = JOBS.fullmatch(self.path.partition("?")[0])
        if matched is None:
            self.send_error(501)
            raise NotImplementedError(self.path)
        return matched.groups()

    def _job(self, number: int, state: str) -> dict[str, Any]:
        job = {key: self.server.jobs[number][key] for key in ("name", "projectId", "location", "type")}
        return {**job, "id": str(number), "currentState": state}

    def _metrics(self) -> list[dict[str, Any]]:
        return [
            {"name": {"origin": "user", "name": name, "context": {"namespace": namespace, **extra}}, "scalar": value}
            for namespace, counters in self.server.counters.items()
            for name, value in counters.items()
            for extra in ({"tentative": "true"}, {})
        ]

    def _answer(self, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Says nothing."""


@contextlib.contextmanager
def dataflow_server(counters: dict[str, dict[str, int]] | None = None, error: str = "") -> Iterator[Server]:
    """Dataflow at `url`, for --dataflow_endpoint; see Server.

    Beam looks at its jobs in a hundredth of five seconds, and asks pip once what is installed here.
    """
    from apache_beam.runners.dataflow import dataflow_runner
    from apache_beam.runners.portability import stager

    with (
        serving(Server(counters or {}, error)) as server,
        waits.hurried(dataflow_runner),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(stager, "subprocess", SimpleNamespace(check_output=lambda command: _output(tuple(command))))
        yield server


@functools.cache
def _output(command: tuple[str, ...]) -> bytes:
    return subprocess.check_output(command)
