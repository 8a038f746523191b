"""Adam with a warm-up, scaled to the number of replicas; tables of which a step sees few rows are updated by row."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from trainer_image.batches import Sampler
from trainer_image.model import TwoTower

SCALING = {"sqrt": math.sqrt, "linear": float, "none": lambda replicas: 1.0}
LAZY_FROM = 1 << 20  # parameters of a table; `make bench-train` shows what lazy updates save at which size
LAZY_ROWS = 4  # a step must leave this many rows for each one that it sees
WARMUP_SHARE = 10  # a warm-up takes at most one of so many steps

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to `rate` over `steps` steps, then stays."""

    def __init__(self, rate: float, steps: int):
        self.rate, self.steps = rate, steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        progress = (tf.cast(step, tf.float32) + 1.0) / max(self.steps, 1)
        return self.rate * tf.minimum(progress, 1.0)

    def get_config(self) -> dict[str, float]:
        return {"rate": self.rate, "steps": self.steps}


class Adam(keras.optimizers.Adam):
    """Keras's Adam, with TensorFlow's one operation for it in place of sixteen for every weight.

    The formula is the same. A step of many small weights takes a third less time to trace.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one weight, and its moments; inside `tf.distribute`'s update, as Keras calls it."""
        place = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def warmup_in_force(asked: int, steps: int) -> int:
    """Steps of the warm-up: as many as were asked for, but at most a tenth of `steps`, all that there can be."""
    return min(asked, steps // WARMUP_SHARE)


def adam(learning_rate: float, lr_scaling: str, warmup_steps: int, replicas: int) -> keras.optimizers.Optimizer:
    """Adam at learning_rate, times replicas, their square root or one."""
    return Adam(Warmup(learning_rate * SCALING[lr_scaling](replicas), warmup_steps))


def is_lazy(rows: int, dim: int, seen: int) -> bool:
    """Whether a table of [rows, dim], of which a step sees at most `seen` rows, is updated by row."""
    return rows * dim >= LAZY_FROM and rows >= LAZY_ROWS * seen


def lazy_tables(model: TwoTower, sampler: Sampler) -> list[keras.Variable]:
    """The tables that are large, and of which a step sees few rows."""
    seen = {"query": sampler.per_step, "candidate": sampler.candidates_seen(len(model.catalogue))}
    return [
        table.embeddings
        for tower in (model.query_tower, model.candidate_tower)
        for table in tower.tables.values()
        if is_lazy(table.input_dim, table.output_dim, seen[tower.name])
    ]


class Updates:
    """Applies gradients: Keras's optimizer to most weights, row-wise Adam to the tables in `lazy`.

    Keras's Adam reads and writes a whole table in every step, 77 million parameters for 600,000 customers of 128. The
    lazy one does so for the rows that the step looked up. It differs in the others, which Adam would go on moving by
    their old momentum; like LazyAdam of TensorFlow Addons, it corrects the moments' bias by the steps of all.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        weights: Sequence[keras.Variable],
        lazy: Sequence[keras.Variable] = (),
    ):
        """Creates the moments; call it in the strategy's scope. `lazy` needs an Adam, whose rates it shares."""
        self.optimizer = optimizer
        self.is_lazy = [any(weight is table for table in lazy) for weight in weights]
        self.dense = [weight for weight, by_row in zip(weights, self.is_lazy, strict=True) if not by_row]
        self.lazy = [weight for weight, by_row in zip(weights, self.is_lazy, strict=True) if by_row]
        optimizer.build(self.dense)
        self.moments = [
            tuple(tf.Variable(tf.zeros_like(table.value), trainable=False) for _ in range(2)) for table in self.lazy
        ]

    @property
    def variables(self) -> list[Any]:
        """All state, in a fixed order; the learning rate is no state, a schedule computes it."""
        return [*self.optimizer.variables, *(moment for both in self.moments for moment in both)]

    def apply(self, gradients: Sequence[Gradient]) -> None:
        """One step, from each replica's own gradients, which are summed over all of them."""
        by_row = [gradient for gradient, lazy in zip(gradients, self.is_lazy, strict=True) if lazy]
        step = tf.cast(self.optimizer.iterations + 1, tf.float32)
        rate = tf.convert_to_tensor(self.optimizer.learning_rate)
        for table, moments, gradient in zip(self.lazy, self.moments, by_row, strict=True):
            self._apply_by_row(table, moments, gradient, rate, step)
        rest = [dense(gradient) for gradient, lazy in zip(gradients, self.is_lazy, strict=True) if not lazy]
        self.optimizer.apply(rest, self.dense)

    def _apply_by_row(
        self,
        table: keras.Variable,
        moments: tuple[tf.Variable, ...],
        gradient: tf.IndexedSlices,
        rate: tf.Tensor,
        step: tf.Tensor,
    ) -> None:
        beta_1, beta_2 = self.optimizer.beta_1, self.optimizer.beta_2
        alpha = rate * tf.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
        context = tf.distribute.get_replica_context()
        values, indices = gradient.values, gradient.indices
        if context.num_replicas_in_sync > 1:
            values, indices = context.all_gather([values, indices], axis=0)
        rows, place = tf.unique(indices)
        summed = tf.math.unsorted_segment_sum(values, place, tf.size(rows))

        def update(
            table: tf.Variable, first: tf.Variable, second: tf.Variable, rows: tf.Tensor, g: tf.Tensor, alpha: tf.Tensor
        ) -> None:
            m = beta_1 * tf.gather(first, rows) + (1.0 - beta_1) * g
            v = beta_2 * tf.gather(second, rows) + (1.0 - beta_2) * tf.square(g)
            first.scatter_update(tf.IndexedSlices(m, rows))
            second.scatter_update(tf.IndexedSlices(v, rows))
            table.scatter_sub(tf.IndexedSlices(alpha * m / (tf.sqrt(v) + self.optimizer.epsilon), rows))

        def merged(strategy: tf.distribute.Strategy, *arguments: Any) -> None:
            strategy.extended.update(table.value, update, (*moments, *arguments), group=False)

        context.merge_call(merged, (rows, summed, alpha))


def dense(gradient: Gradient) -> tf.Tensor:
    """Sums the rows of a sparse gradient that belong to one table row.

    Keras 3's Adam squares every duplicate by itself (the sum of g² in place of (the sum of g)²), and every batch of
    purchases has duplicates. It updates all rows in any case, so nothing is lost by a dense gradient.
    """
    return tf.convert_to_tensor(gradient)
