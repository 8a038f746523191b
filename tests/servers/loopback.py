"""What all servers of this folder have in common: a thread that serves as long as a block lasts."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from typing import TypeVar

Server = TypeVar("Server", bound=socketserver.BaseServer)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serves from a thread of its own until the block ends; the port is closed then."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds to notice the end
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
