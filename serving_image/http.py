"""uvicorn's protocol with an end to the head of a request: left alone it would take headers as long as memory lasts."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 1 << 16  # bytes


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with a bounded head."""

    def __init__(self, *arguments: Any, **further: Any):
        super().__init__(*arguments, **further)
        self.in_head, self.seen_end, self.head = True, False, 0

    def data_received(self, data: bytes) -> None:
        self.seen_end = False
        super().data_received(data)
        if self.in_head and not self.seen_end:
            self.head += len(data)
            if self.head > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response(f"The head of the request is longer than {MAX_HEAD} bytes.")

    def on_headers_complete(self) -> None:
        self.in_head, self.seen_end, self.head = False, True, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.in_head = True
        super().on_message_complete()
