"""Workers meet over real sockets, here as threads of one process."""

import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import pytest

from components.common.errors import InputError
from tests.trainer_image.cluster import free_addresses
from trainer_image import rendezvous
from trainer_image.tf_config import Cluster


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def worker(addresses: Sequence[str], index: int) -> Cluster:
    return Cluster({"worker": list(addresses)}, "worker", index)


def complaint(done: Future) -> str:
    error = done.exception()
    assert isinstance(error, InputError)
    return str(error)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_all_go_when_all_are_here(threads: ThreadPoolExecutor, order: list[int]) -> None:
    addresses = free_addresses(3)
    meetings = [threads.submit(rendezvous.meet, worker(addresses, index), 60) for index in order]
    for meeting in meetings:
        meeting.result()
    for address in addresses:  # free for TensorFlow
        socket.create_server(("", int(address.split(":")[1]))).close()


def test_an_ipv6_cluster_meets(threads: ThreadPoolExecutor) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    addresses = [address.replace("127.0.0.1", "[::1]") for address in free_addresses(2)]
    for meeting in [threads.submit(rendezvous.meet, worker(addresses, index), 60) for index in range(2)]:
        meeting.result()


def test_every_worker_learns_who_is_missing(threads: ThreadPoolExecutor) -> None:
    addresses = free_addresses(4)
    meetings = [threads.submit(rendezvous.meet, worker(addresses, index), 5) for index in (0, 2)]
    for meeting in meetings:
        expected = f"TF_CONFIG cluster: found no sign of {addresses[1]}, {addresses[3]} within 5 s at {addresses[0]}"
        assert complaint(meeting).startswith(expected)


def test_a_leader_that_is_missing_is_named_with_the_reason() -> None:
    addresses = free_addresses(2)
    expected = rf"no sign of {addresses[0]} within 1 s at {addresses[1]} \(Connection refused\), expected all workers"
    with pytest.raises(InputError, match=expected):
        rendezvous.meet(worker(addresses, 1), 1)


def test_a_leader_without_a_name_in_dns_is_explained() -> None:
    (own,) = free_addresses(1)
    with pytest.raises(InputError, match=r"no sign of nowhere\.invalid:2222 within 1 s"):
        rendezvous.meet(worker(["nowhere.invalid:2222", own], 1), 1)


def test_another_cluster_is_refused_and_the_right_one_is_still_awaited(threads: ThreadPoolExecutor) -> None:
    addresses = free_addresses(2)
    leader = threads.submit(rendezvous.meet, worker(addresses, 0), 60)
    other = worker([*addresses, "127.0.0.1:9"], 1)
    with pytest.raises(InputError, match=r"TF_CONFIG cluster: .* Give every worker the same cluster"):
        rendezvous.meet(other, 60)
    assert not leader.done()
    rendezvous.meet(worker(addresses, 1), 60)
    leader.result()


def test_one_index_for_two_workers_is_refused(threads: ThreadPoolExecutor) -> None:
    addresses = free_addresses(3)
    cluster = worker(addresses, 1)
    pair = [threads.submit(rendezvous._join, cluster, 60) for _ in range(2)]
    leader = threads.submit(rendezvous.meet, worker(addresses, 0), 60)
    (refused,), (kept,) = wait(pair, return_when=FIRST_COMPLETED)
    assert f"TF_CONFIG task: found another process that is {addresses[1]}, expected one" in complaint(refused)
    rendezvous.meet(worker(addresses, 2), 60)
    kept.result()
    leader.result()


def test_a_worker_that_left_while_waiting_may_come_again(threads: ThreadPoolExecutor) -> None:
    addresses = free_addresses(3)
    leader = threads.submit(rendezvous.meet, worker(addresses, 0), 60)
    hello = b'{"own": "%s", "members": {"worker": ["%s", "%s", "%s"]}}\n'
    said = hello % (addresses[1].encode(), *(address.encode() for address in addresses))
    while True:
        try:
            with socket.create_connection(("127.0.0.1", int(addresses[0].split(":")[1]))) as connection:
                connection.sendall(said)
                break
        except ConnectionRefusedError:
            continue
    last = threads.submit(rendezvous.meet, worker(addresses, 2), 60)
    rendezvous.meet(worker(addresses, 1), 60)
    last.result()
    leader.result()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b'{"own": "127.0.0.1:1"}\n', b"\xff\n", b""])
def test_strangers_do_not_disturb(threads: ThreadPoolExecutor, said: bytes) -> None:
    addresses = free_addresses(2)
    leader = threads.submit(rendezvous.meet, worker(addresses, 0), 60)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", int(addresses[0].split(":")[1]))) as connection:
                connection.sendall(said)
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(100) == b""  # hung up on
                break
        except ConnectionRefusedError:
            continue
    rendezvous.meet(worker(addresses, 1), 60)
    leader.result()


@pytest.mark.parametrize("index", [0, 1])
def test_a_taken_port_is_explained(index: int) -> None:
    addresses = free_addresses(2)
    with (
        socket.create_server(("127.0.0.1", int(addresses[index].split(":")[1]))),
        pytest.raises(InputError, match=rf"found {addresses[index]}, Address already in use.*Free the port"),
    ):
        rendezvous.meet(worker(addresses, index), 1)
