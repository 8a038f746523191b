"""The other Google Cloud services that a preflight asks, and a container registry, on this machine: canned answers."""

import contextlib
import json
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.loopback import serving


class Server(ThreadingHTTPServer):
    """Answers by path, with 404 where nothing is canned.

    Attributes:
        answers: {path: (status, JSON)}.
        requests: (method, path, query, headers) in order.
        silent: Seconds to wait before every answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, list[str]], dict[str, str]]] = []
        self.silent = 0.0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        self.server.requests.append((self.command, url.path, urllib.parse.parse_qs(url.query), dict(self.headers)))
        time.sleep(self.server.silent)
        status, value = self.server.answers.get(url.path, (404, {"error": {"code": 404}}))
        data = json.dumps(value).encode()
        with contextlib.suppress(ConnectionError):  # it no longer waits
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Says nothing."""


@contextlib.contextmanager
def google_apis() -> Iterator[Server]:
    """The server, as long as the block lasts."""
    with serving(Server()) as server:
        yield server
