"""When a purchase can have been: what lies outside was written in another unit, or stands for no time at all."""

import time
from collections.abc import Mapping

import numpy as np

EARLIEST = 631_152_000  # 1990-01-01; before it lies what was divided once too often, all of it in January 1970
LAST = 253_402_300_799  # 9999-12-31; no moment of a product, such as one of milliseconds, lies beyond
SLACK = 86_400  # seconds; a local time that counts as UTC is up to 14 hours ahead
# How often each unit goes into a second, by the name that pandas has for it.
UNITS: Mapping[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
REMEDY = 'Make times of the numbers again, by pandas.to_datetime(numbers, unit="s"), or the unit that they are in.'


def latest() -> int:
    """The last second at which a purchase can have been, as this machine's clock goes."""
    return int(time.time()) + SLACK


def in_words(seconds: int) -> str:
    """Seconds since 1970 as a date and time in UTC, of any year."""
    return str(np.datetime64(seconds, "s")).replace("T", " ")


def unit_of(smallest: int, largest: int) -> str:
    """The unit in which numbers, read as times since 1970, lie where purchases can lie; "" where none is it."""
    for unit, per_second in UNITS.items():
        if EARLIEST <= smallest // per_second <= largest // per_second <= latest():
            return unit
    return ""


def mistaken(smallest: int, largest: int) -> str:
    """What times out of range look like, in words; "" where no other unit would put all of them in range.

    Args:
        smallest: Seconds since 1970.
        largest: The same.
    """
    for unit, per_second in list(UNITS.items())[1:]:
        # Whole seconds were rounded down.
        multiplied = smallest * per_second, (largest + 1) * per_second - 1
        if EARLIEST <= multiplied[0] <= largest * per_second <= latest():
            words = f"times {per_second:,}, as when seconds are taken for {NAMES[unit]}"
            return _if_so(words, multiplied[0], min(multiplied[1], latest()))
        divided = smallest // per_second, largest // per_second
        if EARLIEST <= divided[0] <= divided[1] <= latest():
            return _if_so(f"divided by {per_second:,}, as when {NAMES[unit]} are taken for seconds", *divided)
    return ""


def _if_so(words: str, first: int, last: int) -> str:
    return f"{words}, they would be from {in_words(first)[:10]} to {in_words(last)[:10]}"
