"""A preempted machine gets SIGTERM some seconds before it goes: long enough for a checkpoint."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: run the same command again


class Preempted(SystemExit):
    """Training stopped because somebody asked for it; a checkpoint was written."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


@contextmanager
def watched() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGTERM has come; until the block ends it does nothing else."""
    came = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        came.set()

    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield came.is_set
        return
    before = signal.signal(signal.SIGTERM, note)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
