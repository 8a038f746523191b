"""uvicorn's protocol with an end to the head of a request: left alone it would wait for one, and read it, for ever."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 1 << 16  # bytes
HEAD_SECONDS = 10.0  # from the connection, or a head's first byte, to its last


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with a head that is bounded in bytes and in time."""

    def __init__(self, *arguments: Any, **further: Any):
        super().__init__(*arguments, **further)
        self.in_head, self.seen_end, self.head = True, False, 0
        self.patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._await_head()
        super().on_message_begin()

    def _await_head(self) -> None:
        if self.patience is None:
            self.patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _have_head(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None

    def data_received(self, data: bytes) -> None:
        self.seen_end = False
        super().data_received(data)
        if self.in_head and not self.seen_end:
            self.head += len(data)
            if self.head > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response(f"The head of the request is longer than {MAX_HEAD} bytes.")

    def on_headers_complete(self) -> None:
        self.in_head, self.seen_end, self.head = False, True, 0
        self._have_head()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.in_head = True
        super().on_message_complete()
