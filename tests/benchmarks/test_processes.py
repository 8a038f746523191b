"""What `measured` reports of a process of its own."""

import numpy as np

from benchmarks.processes import measured


def held(mib: int) -> int:
    return int(np.ones(mib << 20, np.uint8).sum()) >> 20


def test_peak_memory_is_the_process_s_own() -> None:
    """Not its parent's, which holds more here."""
    mine = np.ones(700 << 20, np.uint8)
    small, large = (measured("tests.benchmarks.test_processes:held", mib=mib) for mib in (1, 300))
    assert (small.result, large.result) == (1, 300)
    assert 250 < large.peak_mib - small.peak_mib < 350
    assert large.peak_mib < mine.nbytes >> 20
    assert small.seconds > 0
