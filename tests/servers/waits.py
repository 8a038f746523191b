"""Libraries that wait between two looks at a service, beside a server that is done at once."""

import contextlib
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

SHARE = 0.01


class _Hurried:
    """The module `time`, but for its naps."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(seconds * SHARE)


@contextlib.contextmanager
def hurried(*modules: ModuleType) -> Iterator[None]:
    """As long as the block lasts, the naps of these modules take a hundredth; those of all others are as long as ever.

    Args:
        modules: Each calls time.sleep by its own name `time`.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, "time", _Hurried())
        yield
