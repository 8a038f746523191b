"""A TCP proxy on loopback that breaks connections midway."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from tests.servers.loopback import serving

CHUNK = 65_536


class Proxy(socketserver.ThreadingTCPServer):
    """Passes bytes on, and closes a connection once the server has sent so many over it.

    Args:
        target: host:port to connect to.
        after: Bytes from the server that a connection carries before it is cut.
        times: Connections to cut; those after them stay whole.

    Attributes:
        cuts: Connections cut so far.
    """

    daemon_threads = True

    def __init__(self, target: str, after: int, times: int):
        super().__init__(("127.0.0.1", 0), _Connection)
        host, port = target.rsplit(":", 1)
        self.target = host, int(port)
        self.after, self.times, self.cuts = after, times, 0
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def cut(self) -> bool:
        """Whether a connection that has carried `after` bytes ends here; counts it if so."""
        with self.lock:
            if self.cuts == self.times:
                return False
            self.cuts += 1
            return True


class _Connection(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        with socket.create_connection(self.server.target) as upstream:
            other_way = threading.Thread(target=_copy, args=(self.request, upstream), daemon=True)
            other_way.start()
            with contextlib.suppress(OSError):
                self._answers(upstream)
            for end in self.request, upstream:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            # Before the sockets are closed: the thread must not read from a number that is then another's.
            other_way.join()

    def _answers(self, upstream: socket.socket) -> None:
        carried = 0
        while data := upstream.recv(CHUNK):
            room = self.server.after - carried
            if 0 <= room <= len(data) and self.server.cut():
                self.request.sendall(data[:room])
                return
            self.request.sendall(data)
            carried += len(data)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def breaking(target: str, after: int, times: int) -> Iterator[Proxy]:
    """Runs a Proxy; see there for the arguments."""
    with serving(Proxy(target, after, times)) as proxy:
        yield proxy
