"""All workers meet before TensorFlow starts.

TensorFlow 2.21 waits for its cluster inside C++ and keeps Python's interpreter lock: no thread, no signal handler runs,
and the leader, where a worker is missing, waits for an hour whatever its timeouts say. So the workers meet here first:
each tells the leader who it is, and the leader tells all to go, or what is wrong. It is one JSON line each way, on the
port that TensorFlow then takes over.
"""

import json
import socket
import sys
import time
from contextlib import ExitStack

from components.common.errors import InputError
from trainer_image.tf_config import Cluster, host_and_port

GO: list[str] = []  # else the four parts of an InputError
RETRY_SECONDS = 0.5
HELLO_SECONDS = 5.0
LINE_BYTES = 1 << 20


def meet(cluster: Cluster, timeout: float) -> None:
    """Returns when all workers of the cluster are here.

    Args:
        cluster: Of this process.
        timeout: Seconds that the leader waits for all workers, and every other worker for the leader.

    Raises:
        InputError: somebody did not come in time; two workers disagree; the own port is taken.
    """
    awaited = ", ".join(cluster.others) if cluster.own == cluster.leader else cluster.leader
    print(f"Worker {cluster.own} waits up to {timeout:g} s for {awaited}", file=sys.stderr, flush=True)
    if cluster.own == cluster.leader:
        _gather(cluster, timeout)
    else:
        _listen(cluster).close()  # a port that is taken is found before the others have waited
        _join(cluster, timeout)
    print(f"All {len(cluster.addresses)} workers are here", file=sys.stderr, flush=True)


def _gather(cluster: Cluster, timeout: float) -> None:
    others, deadline = cluster.others, time.monotonic() + timeout
    here: dict[str, socket.socket] = {}
    with ExitStack() as open_sockets:
        server = open_sockets.enter_context(_listen(cluster))
        while missing := [address for address in others if address not in here or _has_left(here[address])]:
            server.settimeout(max(deadline - time.monotonic(), 1e-3))
            try:
                connection = open_sockets.enter_context(server.accept()[0])
            except TimeoutError:
                absent = _absent(missing, f"within {timeout:g} s at {cluster.leader}")
                for other in here.values():
                    _tell(other, _parts(absent))
                raise absent from None
            hello = _line(connection, min(HELLO_SECONDS, max(deadline - time.monotonic(), 1e-3)))
            if not isinstance(hello, dict) or hello.get("own") not in others:
                connection.close()  # a stranger
            elif hello.get("members") != cluster.members:
                expected = f"what {cluster.leader} has: {json.dumps(cluster.members)}"
                remedy = "Give every worker the same cluster."
                _tell(connection, ["TF_CONFIG cluster", json.dumps(hello.get("members")), expected, remedy])
            elif hello["own"] in here and not _has_left(here[hello["own"]]):
                found = f"another process that is {hello['own']}"
                _tell(connection, ["TF_CONFIG task", found, "one", "Give every worker an index of its own."])
            else:
                here[hello["own"]] = connection
        for other in here.values():
            _tell(other, GO)


def _join(cluster: Cluster, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    hello = json.dumps({"own": cluster.own, "members": cluster.members}).encode() + b"\n"
    reason = ""
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection(host_and_port(cluster.leader), min(left, HELLO_SECONDS)) as connection:
                connection.sendall(hello)
                verdict = _line(connection, timeout + HELLO_SECONDS)  # the leader began earlier and ends earlier
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            if verdict == GO:
                return
            if isinstance(verdict, list) and len(verdict) == 4:
                raise InputError(*verdict)
            reason = "it answers, but not as a worker that waits for others"
        time.sleep(RETRY_SECONDS)
    raise _absent([cluster.leader], f"within {timeout:g} s at {cluster.own} ({reason})")


def _listen(cluster: Cluster) -> socket.socket:
    port = host_and_port(cluster.own)[1]
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:  # on all interfaces, as TensorFlow will
        return socket.create_server(("", port), family=family, backlog=1024, dualstack_ipv6=both)
    except OSError as error:
        found, remedy = f"{cluster.own}, {error.strerror}", "Free the port, or name another one on every worker."
        raise InputError("TF_CONFIG cluster", found, "a port of this machine that is free", remedy) from None


def _absent(missing: list[str], where: str) -> InputError:
    found = f"no sign of {', '.join(missing)} {where}"
    remedy = "See whether that worker runs, what its log says, and that the workers reach each other's ports."
    return InputError("TF_CONFIG cluster", found, "all workers", remedy)


def _parts(error: InputError) -> list[str]:
    return [error.where, error.found, error.expected, error.remedy]


def _tell(connection: socket.socket, verdict: list[str]) -> None:
    try:
        connection.sendall(json.dumps(verdict).encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has left; TensorFlow's own timeout will tell


def _line(connection: socket.socket, seconds: float) -> object:
    """One line of JSON; None where the other side sends something else, or nothing."""
    connection.settimeout(seconds)
    try:
        with connection.makefile("rb") as lines:
            return json.loads(lines.readline(LINE_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def _has_left(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.setblocking(True)
