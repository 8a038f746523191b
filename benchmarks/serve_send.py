"""Sends raw requests and judges the answers: a status as expected, a reason, and nothing of the server's insides."""

import contextlib
import json
import re
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.serve_fuzz import FINE, Request

SECONDS = 30
INSIDES = re.compile(rb'Traceback|File "|\.py\b|site-packages|tensorflow', re.IGNORECASE)


def exchange(port: int, raw: bytes) -> tuple[int, bytes]:
    """Sends bytes on a connection of their own.

    Returns:
        The status and body of the first answer; status 0 where there is none.
    """
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        answer = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was complete
            connection.sendall(raw)
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while not _complete(answer):
                part = connection.recv(1 << 16)
                if not part:
                    break
                answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    return (int(match[1]) if match else 0), body


def _complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


def judge(request: Request, status: int, body: bytes) -> str:
    """Nothing, or what is wrong with an answer."""
    if INSIDES.search(body):
        return f"status {status} with insides of the server: {body[:200]!r}"
    if request.expected == FINE:
        return "" if status == 200 and b'"predictions"' in body else f"status {status}: {body[:200]!r}"
    if not 400 <= status < 500:
        return f"status {status}: {body[:200]!r}"
    try:
        error = json.loads(body)["error"]
    except ValueError:
        return "" if body.strip() else f"status {status} without a reason"  # not even HTTP: a line of text
    return (
        "" if error["field"] and error["found"] and error["expected"] and error["remedy"] else f"half a reason: {error}"
    )


def wrong(port: int, requests: Iterable[Request], threads: int = 8) -> list[str]:
    """Sends all requests and says what is wrong with their answers."""

    def one(request: Request) -> str:
        complaint = judge(request, *exchange(port, request.raw))
        return complaint and f"{request.kind}, {request.raw[:150]!r}: {complaint}"

    with ThreadPoolExecutor(threads) as pool:
        return [complaint for complaint in pool.map(one, requests) if complaint]
