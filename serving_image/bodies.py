"""Reads a request's body, within a size and a time."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving_image.refusals import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
DRAINED = 16  # times the limit: a client that is still sending would not read the answer
CLOSE = ((b"connection", b"close"),)


class ClientGone(Exception):  # noqa: N818  an event, not an error
    """The client closed the connection before its request was complete."""


async def read(scope: Scope, receive: Receive, limit: int, seconds: float) -> bytes:
    """The body of a request, with or without a declared length.

    Args:
        scope: Of ASGI.
        receive: Of ASGI.
        limit: Bytes.
        seconds: How long it may take to arrive.

    Raises:
        Refusal: 413 too large, 408 too slow; the connection is closed after either.
        ClientGone: there is nobody to answer.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) <= limit:
            return body
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            return await _parts(message, scope, receive, limit)
    except TimeoutError:
        found, expected = f"no end of it after {seconds:g} s", "a body as long as its Content-Length"
        raise Refusal(408, "the body", found, expected, "Send it again, whole.", CLOSE) from None


async def _parts(message: Message, scope: Scope, receive: Receive, limit: int) -> bytes:
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if int(declared) > DRAINED * limit:
        raise _too_large(limit)
    parts, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > DRAINED * limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            break
        message = await receive()
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> Refusal:
    found, remedy = "more bytes than that", "Send fewer instances in a request."
    return Refusal(413, "the body", found, f"at most {limit:,} bytes", remedy, CLOSE)
