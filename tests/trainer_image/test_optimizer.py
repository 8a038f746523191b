"""Adam, its schedule, and what it must do with a row that a batch looks up twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer_image import optimizer


def test_the_rate_warms_up_and_stays() -> None:
    schedule = optimizer.Warmup(0.1, 4)
    found = [float(schedule(tf.constant(step))) for step in range(6)]
    np.testing.assert_allclose(found, [0.025, 0.05, 0.075, 0.1, 0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize(("scaling", "expected"), [("sqrt", 0.002), ("linear", 0.004), ("none", 0.001)])
def test_the_rate_scales_with_replicas(scaling: str, expected: float) -> None:
    adam = optimizer.adam(0.001, scaling, 0, 4)
    np.testing.assert_allclose(float(adam.learning_rate), expected, rtol=1e-6)


def test_duplicate_rows_are_summed_before_adam_squares_them() -> None:
    """By hand: both lookups give the gradient 1, so g = 2, m = 0.1 g, v = 0.001 g²; a step is lr, whatever g is."""
    table = keras.Variable(np.zeros((3, 1), np.float32))
    adam = keras.optimizers.Adam(0.5, epsilon=0.0)
    adam.build([table])
    for gradient in (1.0, 3.0):
        rows = tf.IndexedSlices(tf.constant([[gradient], [gradient]]), tf.constant([1, 1]), tf.constant([3, 1]))
        adam.apply([optimizer.dense(rows)], [table])
    m = 0.9 * 0.1 * 2 + 0.1 * 6
    v = 0.999 * 0.001 * 4 + 0.001 * 36
    second = 0.5 * (m / (1 - 0.9**2)) / np.sqrt(v / (1 - 0.999**2))
    np.testing.assert_allclose(table.numpy()[1, 0], -0.5 - second, rtol=1e-4)
