"""What is known at a purchase, by hand."""

import numpy as np

from benchmarks.quality_fresh import Past, _blocks


def test_only_what_lies_strictly_before() -> None:
    time = np.array([10, 20, 20, 30, 5, 20])
    past = Past(np.array([0, 4, 6]), np.arange(6), np.arange(6), time)
    assert past.before(0, 20) == slice(0, 1)  # nothing of the same basket
    assert past.before(0, 31) == slice(0, 4)
    assert past.before(0, 10) == slice(0, 0)
    assert past.before(1, 20) == slice(4, 5)


def test_every_row_is_in_one_block() -> None:
    basket = np.random.default_rng(1).permutation(np.repeat(np.arange(600), 3))
    blocks = list(_blocks(basket, 600))
    assert sorted(np.concatenate([rows for _, rows in blocks])) == list(range(1800))
    for some, rows in blocks:
        assert set(basket[rows]) == set(some)
