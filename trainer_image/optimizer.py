"""Adam with a warm-up, scaled to the number of replicas."""

import math

import keras
import tensorflow as tf

SCALING = {"sqrt": math.sqrt, "linear": float, "none": lambda replicas: 1.0}


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to `rate` over `steps` steps, then stays."""

    def __init__(self, rate: float, steps: int):
        self.rate, self.steps = rate, steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        progress = (tf.cast(step, tf.float32) + 1.0) / max(self.steps, 1)
        return self.rate * tf.minimum(progress, 1.0)

    def get_config(self) -> dict[str, float]:
        return {"rate": self.rate, "steps": self.steps}


def adam(learning_rate: float, lr_scaling: str, warmup_steps: int, replicas: int) -> keras.optimizers.Optimizer:
    """Adam at learning_rate, times replicas, their square root or one."""
    return keras.optimizers.Adam(Warmup(learning_rate * SCALING[lr_scaling](replicas), warmup_steps))


def dense(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
    """Sums the rows of a sparse gradient that belong to one table row.

    Keras 3's Adam squares every duplicate by itself (the sum of g² in place of (the sum of g)²), and every batch of
    purchases has duplicates. It updates all rows in any case, so nothing is lost by a dense gradient.
    """
    return tf.convert_to_tensor(gradient)
