"""Cloud Storage on this machine, for fsspec and for Beam: gcp-storage-emulator with credentials, refusals and pauses.

Whatever asks for Google's default credentials finds a token that needs no service to refresh it.
"""

import contextlib
import io
import json
import logging
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pytest
from apache_beam.internal.gcp import auth
from gcp_storage_emulator.server import RequestHandler, Router
from gcp_storage_emulator.storage import Storage
from gcsfs.core import GCSFileSystem

from tests.servers.loopback import serving

BUCKET = "bucket"
CREDENTIALS = {
    "type": "external_account_authorized_user",
    "audience": "tests",
    "token": "token",
    "expiry": "2999-01-01T00:00:00Z",
}
FORBIDDEN = "forbidden"  # a bucket where everything is answered with 403


class Server(ThreadingHTTPServer):
    """The emulator behind a lock, because its storage takes one request at a time."""

    daemon_threads = True

    def __init__(self) -> None:
        self.storage = Storage(use_memory_fs=True)
        self.storage.create_bucket(BUCKET, {"kind": "storage#bucket", "id": BUCKET, "name": BUCKET})
        self.lock = threading.Lock()
        self.held = ""
        self.reached, self.released = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), partial(_Handler, self.storage))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def names(self, prefix: str = "") -> list[str]:
        """The objects of BUCKET, sorted, as the server itself holds them."""
        with self.lock:
            return sorted(name for name in self.storage.objects.get(BUCKET, {}) if name.startswith(prefix))

    @contextlib.contextmanager
    def holding(self, part: str) -> Iterator[threading.Event]:
        """Leaves every upload with `part` in its name unanswered and undone; the event says that there was one."""
        self.held = part
        self.reached, self.released = threading.Event(), threading.Event()
        try:
            yield self.reached
        finally:
            self.held = ""
            self.released.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # of clients that were killed
            super().handle_error(request, client_address)


class _Handler(RequestHandler):
    server: Server
    rfile: BinaryIO

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if f"/b/{FORBIDDEN}" in self.path:
            message = "the account does not have permission storage.objects"
            self._answer(403, {"error": {"code": 403, "message": message}})
        elif self.server.held and "/upload/" in self.path and self.server.held.encode() in self.path.encode() + body:
            self.server.reached.set()
            self.server.released.wait()
            self.close_connection = True
        else:
            self.rfile = io.BytesIO(body)
            with self.server.lock:
                Router(self).handle(self.command)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def storage_server() -> Iterator[Server]:
    """Cloud Storage with one bucket, BUCKET, for this process and for those it starts, as long as the block lasts."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(Server()))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        private = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for variable, value in environment(server.url, private).items():
            patch.setenv(variable, value)
        patch.setenv("GOOGLE_CLOUD_PROJECT", "my-project")
        # What the last of the variables says, for this process, which may have imported gcsfs before.
        for protocol in GCSFileSystem.protocol:
            fsspec.register_implementation(protocol, GCSFileSystem, clobber=True)
        for name in ("gcp_storage_emulator", "gcsfs", "google.auth"):  # the first two log every 404 as an error
            patch.setattr(logging.getLogger(name), "level", logging.CRITICAL)
        _forget()
        stack.callback(_forget)
        yield server


def environment(url: str, private: Path) -> dict[str, str]:
    """The variables that point a process at Cloud Storage here.

    Args:
        url: Of the server.
        private: A folder for the credentials.
    """
    credentials = private / "credentials.json"
    credentials.write_text(json.dumps(CREDENTIALS))
    return {
        "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
        "STORAGE_EMULATOR_HOST": url,
        # Without it, gcsfs asks another service about every bucket, for a minute.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }


def _forget() -> None:
    """Makes fsspec and Beam look for endpoint and credentials again."""
    GCSFileSystem.clear_instance_cache()
    auth._Credentials._credentials_init = False
