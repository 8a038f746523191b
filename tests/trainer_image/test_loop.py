"""Decisions of the training loop, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from trainer_image import loop


@pytest.mark.parametrize(("products", "k"), [(6, 5), (10, 5), (19, 5), (20, 10), (100, 50), (199, 50), (1500, 100)])
def test_early_stopping_watches_a_recall_that_can_still_rise(products: int, k: int) -> None:
    assert loop.watched(products) == k


def test_chance_in_batch_is_the_softmax_of_the_correction() -> None:
    """Two products, shares 3/4 and 1/4, and a batch of one: its own product is the only candidate."""
    shares = tf.constant([0.75, 0.25])
    assert loop.chance_loss("in-batch", shares, np.array([0], np.int32), 1, 0) == pytest.approx(0.0)
    assert loop.chance_loss("full-catalogue", shares, np.array([0], np.int32), 1, 0) == pytest.approx(np.log(2))


def test_chance_of_equally_popular_products_is_the_log_of_the_distinct_ones_drawn() -> None:
    target = np.random.default_rng(5).choice(np.arange(40, dtype=np.int32), 64)
    found = loop.chance_loss("in-batch", tf.fill([40], 1 / 40), np.arange(40, dtype=np.int32), 64, 5)
    # A row sees each other product as often as it was drawn, and its own once.
    counts = np.bincount(target, minlength=40)
    expected = np.mean([np.log(64 - counts[product] + 1) for product in target])
    assert found == pytest.approx(expected, rel=1e-5)
