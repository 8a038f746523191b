"""Requests share calls of the model and get their own answers, whatever happens to the others."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from serving_image.batching import Batcher
from serving_image.refusals import Refusal


class Double:
    """Twice each row; waits while it is held; raises for rows that it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.bad: set[int] = set()

    def __call__(self, rows: list[int]) -> Sequence[int]:
        self.calls.append(rows)
        self.go.wait()
        if self.bad & set(rows):
            raise ArithmeticError(f"cannot {rows}")
        return [2 * row for row in rows]


async def held(batcher: Batcher[int, int], double: Double) -> "asyncio.Task[Sequence[int]]":
    """A first request, which the model is busy with until `double.go`."""
    double.go.clear()
    first = asyncio.create_task(batcher.answers([0]))
    while not double.calls:
        await asyncio.sleep(0)
    return first


def test_everybody_gets_their_own_and_calls_are_shared() -> None:
    async def run() -> None:
        double = Double()
        batcher = Batcher(double, max_rows=10)
        first = await held(batcher, double)
        requests = [list(range(start, start + 1 + start % 4)) for start in range(1, 60)]
        tasks = [asyncio.create_task(batcher.answers(rows)) for rows in requests]
        await asyncio.sleep(0)
        assert batcher.rows == sum(map(len, requests))
        double.go.set()
        assert await first == [0]
        assert await asyncio.gather(*tasks) == [[2 * row for row in rows] for rows in requests]
        assert [row for call in double.calls for row in call] == [0, *(row for rows in requests for row in rows)]
        assert max(map(len, double.calls)) <= 10
        assert len(double.calls) < 30
        assert batcher.rows == 0
        batcher.close()

    asyncio.run(run())


def test_a_request_larger_than_a_call_is_one() -> None:
    async def run() -> None:
        double = Double()
        batcher = Batcher(double, max_rows=2, max_waiting=3)
        assert await batcher.answers(list(range(9))) == list(range(0, 18, 2))
        assert len(double.calls) == 1
        batcher.close()

    asyncio.run(run())


def test_too_many_waiting_are_told_to_come_again() -> None:
    async def run() -> None:
        double = Double()
        batcher = Batcher(double, max_waiting=5)
        first = await held(batcher, double)
        waiting = asyncio.create_task(batcher.answers([1, 2, 3]))
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as caught:
            await batcher.answers([4, 5, 6])
        assert caught.value.status == 503
        assert (b"retry-after", b"1") in caught.value.headers
        double.go.set()
        assert await first == [0]
        assert await waiting == [2, 4, 6]
        assert await batcher.answers([4, 5, 6]) == [8, 10, 12]
        batcher.close()

    asyncio.run(run())


def test_only_the_request_that_fails_fails() -> None:
    async def run() -> None:
        double = Double()
        double.bad = {2}
        batcher = Batcher(double)
        first = await held(batcher, double)
        tasks = [asyncio.create_task(batcher.answers([row])) for row in (1, 2, 3)]
        await asyncio.sleep(0)
        double.go.set()
        await first
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[0] == [2]
        assert isinstance(answers[1], ArithmeticError)
        assert answers[2] == [6]
        assert await batcher.answers([5]) == [10]
        batcher.close()

    asyncio.run(run())


def test_one_that_gives_up_does_not_hold_up_the_others() -> None:
    async def run() -> None:
        double = Double()
        batcher = Batcher(double)
        first = await held(batcher, double)
        tasks = [asyncio.create_task(batcher.answers([row])) for row in (1, 2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        first.cancel()
        await asyncio.sleep(0)
        double.go.set()
        assert await tasks[1] == [4]
        batcher.close()

    asyncio.run(run())
