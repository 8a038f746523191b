"""The protocol's patience, with uvicorn's own server on loopback and a clock that the tests turn."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from serving_image import http

HEAD = b"GET / HTTP/1.1\r\nHost: shop\r\n"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _talk(*parts: bytes, app: Any = _app) -> list[bytes]:
    """What the server sends after each part; an empty answer is a closed connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=http.Protocol, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    answers = []
    for part in parts:
        writer.write(part)
        if part.endswith(b"\r\n\r\n"):
            answers.append(await reader.read(1 << 16))
    answers.append(await reader.read())
    writer.close()
    server.should_exit = True
    await task
    return answers


@pytest.mark.parametrize(
    ("parts", "answered"),
    [((b"",), 0), ((HEAD,), 0), ((HEAD + b"\r\n", HEAD), 1)],
    ids=["a silent connection", "half a head", "half a second head"],
)
def test_whoever_does_not_end_a_head_is_left(
    monkeypatch: pytest.MonkeyPatch, parts: tuple[bytes, ...], answered: int
) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.2)
    *answers, last = asyncio.run(_talk(*parts))
    assert len(answers) == answered
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert last == b""


def test_whoever_has_ended_a_head_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.2)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.6)  # three times as long as a head may take
        await _app(scope, receive, send)

    first, last = asyncio.run(_talk(HEAD + b"Connection: close\r\n\r\n", app=slow))
    assert first.startswith(b"HTTP/1.1 200")
    assert (first + last).endswith(b"ok")
