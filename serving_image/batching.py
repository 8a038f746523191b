"""Micro-batches: while the model computes, requests gather, and the next call takes them all. Nobody waits for more."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from serving_image.refusals import Refusal

Row = TypeVar("Row")
Answer = TypeVar("Answer")
log = logging.getLogger("serving")


class Batcher(Generic[Row, Answer]):
    """Calls a model with the rows of several requests at a time, from a thread of its own.

    Args:
        call: Rows to their answers; it is called by one thread at a time.
        max_rows: Of one call; a request of more is called alone.
        max_waiting: Rows that may wait; a request beyond is refused, because it would only wait longer.
        observe: Told how many rows each call has.
    """

    def __init__(
        self,
        call: Callable[[list[Row]], Sequence[Answer]],
        max_rows: int = 256,
        max_waiting: int = 1024,
        observe: Callable[[int], None] = lambda rows: None,
    ):
        self.call, self.max_rows, self.max_waiting, self.observe = call, max_rows, max_waiting, observe
        self.waiting: deque[tuple[list[Row], asyncio.Future[Sequence[Answer]]]] = deque()
        self.rows = 0
        self.thread = ThreadPoolExecutor(1, "model")
        self.work: asyncio.Task[None] | None = None

    async def answers(self, rows: list[Row]) -> Sequence[Answer]:
        """The answers to the rows of one request.

        Raises:
            Refusal: 503, too many rows are waiting.
            Exception: what the model raised for these rows.
        """
        if self.rows and self.rows + len(rows) > self.max_waiting:
            expected = f"at most {self.max_waiting}"
            raise Refusal(
                503, "the queue", f"{self.rows} rows waiting", expected, "Try again later.", ((b"retry-after", b"1"),)
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Answer]] = loop.create_future()
        self.waiting.append((rows, future))
        self.rows += len(rows)
        if self.work is None:
            self.work = loop.create_task(self._work())
        return await future

    def close(self) -> None:
        """Ends the thread after its last call."""
        self.thread.shutdown()

    async def _work(self) -> None:
        """Calls the model until nobody waits."""
        loop = asyncio.get_running_loop()
        try:
            while self.waiting:
                batch = self._take()
                rows = [row for part, _ in batch for row in part]
                self.observe(len(rows))
                try:
                    answers = await loop.run_in_executor(self.thread, self.call, rows)
                except Exception as error:
                    await self._one_by_one(batch, error)
                    continue
                begin = 0
                for part, future in batch:
                    if not future.done():  # done: its client is gone
                        future.set_result(answers[begin : begin + len(part)])
                    begin += len(part)
        finally:
            self.work = None

    def _take(self) -> list[tuple[list[Row], "asyncio.Future[Sequence[Answer]]"]]:
        batch = [self.waiting.popleft()]
        size = len(batch[0][0])
        while self.waiting and size + len(self.waiting[0][0]) <= self.max_rows:
            batch.append(self.waiting.popleft())
            size += len(batch[-1][0])
        self.rows -= size
        return batch

    async def _one_by_one(
        self, batch: list[tuple[list[Row], "asyncio.Future[Sequence[Answer]]"]], error: Exception
    ) -> None:
        """After a call failed: only the request that it failed for shall fail."""
        log.error("a call with %d requests failed", len(batch), exc_info=error)
        loop = asyncio.get_running_loop()
        for rows, future in batch:
            try:
                answers = await loop.run_in_executor(self.thread, self.call, rows) if len(batch) > 1 else None
            except Exception as again:
                error, answers = again, None
            if future.done():
                continue
            if answers is None:
                future.set_exception(error)
            else:
                future.set_result(answers)
