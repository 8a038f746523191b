"""Vertex AI on loopback, with the part of Cloud Storage that goes with it: the SDK over REST and curl talk to it.

    with VertexServer(folder, runs=True) as server, server.sdk():
        aiplatform.PipelineJob(…).submit()

It checks what it is given as far as Google's documents tell, keeps it, and with `runs` runs it. Long-running operations
are done at the second poll. Names keep the project's id, where the service answers with its number. The rest is in
vertex_routes.py (who answers), in vertex_checks.py (what is refused), in a file for each sort of resources, and in
vertex_runner.py (running).
"""

import contextlib
import io
import json
import logging
import re
import ssl
import tempfile
import urllib.parse
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from gcp_storage_emulator.server import RequestHandler, Router

from tests.servers import storage, vertex_faults, vertex_pipelines, vertex_routes, waits
from tests.servers.bucket_folder import FolderStorage
from tests.servers.loopback import serving
from tests.servers.vertex_state import CODES, PROJECT_NUMBER, RefusedError, State

PROJECT, LOCATION = "my-project", "europe-west3"
STORAGE = re.compile(r"/((upload|download|batch)/)?storage/")


class VertexServer:
    """The server, as long as the block lasts; at its end it stops what runs.

    Args:
        folder: Stands for Cloud Storage: a folder in it is a bucket, a file in that an object.
        runs: Run pipelines and custom jobs as processes of this machine.
        certificate: PEM file with a key and a certificate; where given, the server speaks TLS.

    Attributes:
        url: The server's address, of both APIs.
        requests: (method, path, body) of every call to Vertex AI, in order; the path without its query.
        resources: By full name, what the service would answer to a GET.
        environment: Variables that point a process at Cloud Storage here, with a token that is none.
        faults: What goes wrong on purpose.
        token: Where set, calls to Vertex AI without it as bearer token are refused.
    """

    def __init__(self, folder: Path, runs: bool = False, certificate: Path | None = None):
        self.state = State(folder.resolve(), runs)
        self.certificate = certificate
        self.resources, self.requests = self.state.resources, self.state.requests
        self.environment = self.state.environment
        self.token = ""
        self.refusals: list[tuple[str, str, str, str]] = []
        self.faults = vertex_faults.Faults()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "VertexServer":
        self.state.folder.mkdir(parents=True, exist_ok=True)
        objects = FolderStorage(self.state.folder)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self, objects))
        server.daemon_threads = True
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https" if self.certificate else "http"
        self.url = objects.url = f"{scheme}://127.0.0.1:{server.server_port}"
        private = self._stack.enter_context(tempfile.TemporaryDirectory())
        self.environment.update(storage.environment(self.url, Path(private)), GOOGLE_CLOUD_PROJECT=PROJECT)
        self._stack.enter_context(serving(server))
        self._stack.callback(self._stop_runs)
        logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)  # it logs every 404 as an error
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def fire(self, schedule: str) -> dict[str, Any] | None:
        """Does what the scheduler does when the time has come.

        Returns:
            The job, or None where as many of the schedule's are under way as may be.
        """
        with self.state.lock:
            return vertex_pipelines.fire(self.state, schedule, vertex_routes.types("v1"))

    def finish(self, job: str, ends: str = "SUCCEEDED", failed: str = "", message: str = "") -> None:
        """Ends a pipeline job that is not run: SUCCEEDED, FAILED in a task with a message, or CANCELLED."""
        with self.state.lock:
            vertex_pipelines.finish(self.state, job, ends, failed, message)

    @property
    def ends(self) -> str:
        """How jobs that are not run end when they are asked for again: SUCCEEDED, FAILED, or "" for not at all."""
        return self.state.ends

    @ends.setter
    def ends(self, state: str) -> None:
        self.state.ends = state

    @contextlib.contextmanager
    def refusing(self, method: str, path: str, status: str, message: str) -> Iterator[None]:
        """Answers calls whose path has `path` in it with an error: one of the names in CODES, and a message."""
        refusal = (method, path, status, message)
        self.refusals.append(refusal)
        try:
            yield
        finally:
            self.refusals.remove(refusal)

    def wait(self, seconds: float = 300) -> None:
        """Until everything that was submitted has ended.

        Raises:
            TimeoutError: it has not.
        """
        for thread in list(self.state.threads):
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(f"still running after {seconds} s")

    def logs(self, job: str) -> str:
        """What the processes of a job said."""
        folder = self.state.folder / "_logs" / job.rpartition("/")[2]
        return "\n".join(f"{file.name}:\n{file.read_text(errors='replace')}" for file in sorted(folder.glob("*")))

    @contextlib.contextmanager
    def sdk(self) -> Iterator[None]:
        """Points google.cloud.aiplatform, Cloud Storage's client and this process's children here."""
        import pytest
        from google.api_core.retry import retry_unary
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import aiplatform
        from google.cloud.aiplatform import initializer, jobs, pipeline_jobs
        from google.cloud.aiplatform.utils import resource_manager_utils

        with pytest.MonkeyPatch.context() as patch, waits.hurried(retry_unary, jobs, pipeline_jobs):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            # It asks a service that has no stand-in, for fifty seconds.
            patch.setattr(resource_manager_utils, "get_project_number", lambda *_, **__: PROJECT_NUMBER)
            initializer.global_config.__init__()  # type: ignore[misc]  # forgets what was set before
            aiplatform.init(
                project=PROJECT,
                location=LOCATION,
                credentials=AnonymousCredentials(),
                api_endpoint=self.url,
                api_transport="rest",
            )
            try:
                yield
            finally:
                initializer.global_config.__init__()  # type: ignore[misc]

    def answer(self, method: str, path: str, query: dict[str, str], raw: bytes, authorization: str) -> Any:
        """Answers a call to Vertex AI.

        Raises:
            RefusedError: the service would refuse it.
        """
        try:
            body = json.loads(raw) if raw else {}
        except ValueError as error:
            raise RefusedError(f"Invalid JSON payload received. {error}") from None
        self.requests.append((method, path, body))
        if self.token and authorization != f"Bearer {self.token}":
            raise RefusedError("Request had invalid authentication credentials.", "UNAUTHENTICATED")
        for refused, part, status, message in self.refusals:
            if method == refused and part in path:
                raise RefusedError(message, status)
        if fault := self.faults.take("refusal", method, path):
            raise RefusedError(fault.message, fault.status)
        return vertex_routes.answer(self.state, self.faults, method, path, query, body)

    def _stop_runs(self) -> None:
        for event in list(self.state.stopping.values()):
            event.set()
        self.wait(30)


class _Handler(RequestHandler):
    storage: FolderStorage
    rfile: BinaryIO
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the second part of an answer waits 40 ms for the client to confirm the first

    def __init__(self, vertex: VertexServer, *arguments: Any):
        self.vertex = vertex
        super().__init__(*arguments)

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        with self.vertex.state.lock:
            if STORAGE.match(url.path) and f"/b/{storage.FORBIDDEN}" in url.path:
                code, message = 403, "the account does not have permission storage.objects"
                value: Any = {"error": {"code": code, "message": message}}
                self._answer(code, value)
                return
            if STORAGE.match(url.path):
                self.rfile, kept = io.BytesIO(body), self.rfile
                self.storage.refresh()
                Router(self).handle(self.command)
                self.rfile = kept  # the connection's next request comes from there
                return
            query = dict(urllib.parse.parse_qsl(url.query))
            path, authorization = urllib.parse.unquote(url.path), self.headers.get("Authorization", "")
            try:
                code, value = 200, self.vertex.answer(self.command, path, query, body, authorization)
            except RefusedError as error:
                code = CODES[error.status][0]
                value = {"error": {"code": code, "message": str(error), "status": error.status}}
            except Exception as error:
                logging.getLogger(__name__).exception("%s %s", self.command, path)
                code, value = 500, {"error": {"code": 500, "message": repr(error), "status": "INTERNAL"}}
            if self.vertex.faults.take("answer", self.command, path):
                self.close_connection = True
                return
        self._answer(code, value)

    def _answer(self, code: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815
