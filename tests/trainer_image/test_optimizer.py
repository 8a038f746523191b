"""Adam, its schedule, duplicate rows, and the lazy form for large tables."""

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


def table(rows: int, width: int = 2) -> keras.Variable:
    return keras.Variable(np.random.default_rng(1).normal(size=(rows, width)).astype(np.float32))


class Alone:
    """Updates of one table; Keras counts steps only where it has weights of its own, so it gets one."""

    def __init__(self, weight: keras.Variable, adam: keras.optimizers.Optimizer, lazy: bool):
        self.updates = optimizer.Updates(adam, [weight, keras.Variable([1.0])], [weight] if lazy else [])

    def apply(self, values: np.ndarray, rows: list[int], shape: list[int]) -> None:
        gradient = tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows), tf.constant(shape))
        self.updates.apply([gradient, tf.constant([0.0])])


def adam_in_float64(start: np.ndarray, gradients: list[np.ndarray], rate: float) -> np.ndarray:
    """Kingma and Ba 2015, algorithm 1, with epsilon where Keras has it."""
    value, m, v = start.astype(np.float64), np.zeros(start.shape), np.zeros(start.shape)
    for step, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        value -= rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-7)
    return value


@pytest.mark.parametrize("lazy", [False, True])
def test_duplicate_rows_are_summed_before_adam_squares_them(lazy: bool) -> None:
    """Every step looks up every row, some twice: here lazy and dense Adam are both the paper's."""
    weight, start = (value := table(3)), value.numpy()
    updates = Alone(weight, optimizer.Adam(0.05), lazy)
    looked_up = [[0, 1, 1, 2], [2, 2, 1, 0], [0, 1, 2, 0]]
    random, dense = np.random.default_rng(2), []
    for rows in looked_up:
        values = random.normal(size=(4, 2)).astype(np.float32)
        updates.apply(values, rows, [3, 2])
        dense.append(np.zeros((3, 2)))
        np.add.at(dense[-1], rows, values)
    np.testing.assert_allclose(weight.numpy(), adam_in_float64(start, dense, 0.05), rtol=1e-5)


def test_lazy_adam_leaves_rows_alone_that_no_purchase_looked_up() -> None:
    """By hand: row 0 is seen in step 1, row 2 in step 2. Both moments are then 0.1 g and 0.001 g²."""
    weight, start = (value := table(4)), value.numpy()
    updates = Alone(weight, optimizer.Adam(0.5, epsilon=0.0), lazy=True)
    for row, g in ((0, 3.0), (2, -7.0)):
        updates.apply(np.array([[g, g]]), [row], [4, 2])
    second = 0.5 * np.sqrt(1 - 0.999**2) / (1 - 0.9**2) * 0.1 / np.sqrt(0.001)
    expected = start + np.array([[-0.5], [0.0], [second], [0.0]])
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("rows", "dim", "seen", "expected"),
    [(2_400, 64, 256, False), (34_000, 64, 256, True), (600_000, 128, 4_096, True), (30_000, 64, 30_000, False)],
)
def test_tables_are_lazy_when_they_are_large_and_a_step_sees_few_of_their_rows(
    rows: int, dim: int, seen: int, expected: bool
) -> None:
    assert optimizer.is_lazy(rows, dim, seen) is expected
