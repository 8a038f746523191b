"""Compiled training steps: many in one call, on every replica, with the gradients of one large batch."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from trainer_image import history, losses
from trainer_image.batches import Batch
from trainer_image.model import TwoTower
from trainer_image.optimizer import Updates


class Sums(NamedTuple):
    """Sums over purchases: of a step on one replica as scalars, or of several steps on all of them as numbers.

    Attributes:
        loss: Of their losses.
        chance: Of the losses that they have where a model scores all products alike.
        weight: Of what they count, which is what a mean divides by.
    """

    loss: Any
    chance: Any
    weight: Any


Step = Callable[[Sequence[Batch], int], Sums]
LossFunction = Callable[[Batch], Sums]


def loss_function(
    loss: str, model: TwoTower, shares: tf.Tensor, temperature: float, clock: Any = None, seed: int = 0
) -> LossFunction:
    """The function of one step's Batch that training minimises, with its sums over the purchases in it.

    Args:
        loss: "full-catalogue" or "in-batch".
        model: The towers.
        shares: float32 [N], each product's share of the training purchases.
        temperature: What the logits are divided by.
        clock: Counts the steps; only a history needs it, of which every step hides another part.
        seed: Of what is hidden.
    """

    def hidden(batch: Batch) -> Sums:
        candidates = tf.cast(model.candidates(), tf.float32)  # whatever precision the towers have
        pairs = batch.pair_query, batch.pair_candidate
        customer = tf.gather(batch.queries[history.KEY], batch.pair_query)
        bought = batch.pair_count > 0
        kept = history.is_kept(customer, batch.pair_candidate, tf.cast(clock, tf.int32), seed) & bought
        seen = tf.where(kept, batch.pair_count, 0.0)
        pooled = history.pooled(candidates, *pairs, seen, tf.shape(batch.queries[history.KEY])[0])
        queries = tf.cast(model.query_tower({**batch.queries, history.KEY: pooled}), tf.float32) / temperature
        weight, sizes = history.target_weight(batch.pair_count), (tf.shape(queries)[0], len(model.catalogue))
        return Sums(
            losses.others(queries, candidates, *pairs, weight, kept),
            losses.chance_of_others(batch.pair_query, weight, kept, *sizes),
            tf.reduce_sum(tf.where(kept, 0.0, weight)),
        )

    def full_catalogue(batch: Batch) -> Sums:
        candidates = model.candidates()
        queries = model.query_tower(batch.queries) / temperature
        pairs = batch.pair_query, batch.pair_candidate, batch.pair_count
        return Sums(
            losses.full_catalogue(queries, candidates, *pairs),
            losses.chance_of_catalogue(batch.pair_count, len(model.catalogue)),
            tf.reduce_sum(batch.pair_count),
        )

    def in_batch(batch: Batch) -> Sums:
        encoded = {key: tf.gather(value, batch.candidates) for key, value in model.encoded_catalogue.items()}
        queries = model.query_tower(batch.queries) / temperature
        log_share = tf.math.log(tf.gather(shares, batch.candidates))
        pairs = batch.pair_query, batch.pair_candidate, batch.pair_count
        return Sums(
            losses.in_batch(queries, model.candidate_tower(encoded), *pairs, batch.candidate_count, log_share),
            losses.chance_in_batch(*pairs[1:], batch.candidate_count, log_share),
            tf.reduce_sum(batch.pair_count),
        )

    if model.has_history:
        return hidden
    return full_catalogue if loss == "full-catalogue" else in_batch


def training_step(
    model: TwoTower,
    updates: Updates,
    loss_of: LossFunction,
    distribution: tf.distribute.Strategy,
    expected_rows: float,
    *,
    jit_compile: bool = False,
) -> Step:
    """Returns a function that trains some steps and returns their Sums, as numbers.

    Every replica's gradient is that of its sum of losses over the purchases that a whole global batch is expected to
    hold, so the summed gradients are those of one large batch, and every purchase of an epoch counts the same.

    Args:
        model: The towers.
        updates: The optimizer.
        loss_of: Of one step's Batch.
        distribution: Where the replicas are.
        expected_rows: Purchases of a global batch.
        jit_compile: Compile the forward and backward pass with XLA.

    Returns:
        A function of the local replicas' shares (Batches of S steps) and S.
    """
    replicas = distribution.num_replicas_in_sync
    weights = [variable.value for variable in model.weights]

    @tf.function(jit_compile=jit_compile)
    def gradients_of(batch: Batch) -> tuple[tf.Tensor, list[Any]]:
        with tf.GradientTape() as tape:
            sums = loss_of(batch)
            penalty = tf.add_n([*model.query_tower.losses, *model.candidate_tower.losses, 0.0]) / replicas
            total = sums.loss / expected_rows + penalty
        return tf.stack(sums), tape.gradient(total, weights)

    def replica_step(batch: Batch, step: tf.Tensor) -> tf.Tensor:
        sums, gradients = gradients_of(tf.nest.map_structure(lambda values: values[step], batch))
        updates.apply(gradients)
        return sums

    def steps_of(batches: Any, steps: tf.Tensor) -> tf.Tensor:
        total = tf.zeros([len(Sums._fields)])
        for step in tf.range(steps):
            per_replica = distribution.run(replica_step, args=(batches, step))
            total += distribution.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return total

    traced = traced_once(steps_of, lengths=2)  # of steps, and of what is padded in each

    def train(shares: Sequence[Batch], steps: int) -> Sums:
        return Sums(*traced(distributed(shares, distribution), tf.constant(steps)).numpy().tolist())

    return train


def traced_once(function: Callable[..., Any], lengths: int) -> Callable[..., Any]:
    """Returns a tf.function that is traced at its first call alone, whatever the lengths of later arguments.

    No two chunks of steps are padded alike, and the last of an epoch has fewer steps. `reduce_retracing` sees that at
    the second call and traces again, which takes two to three seconds.

    Args:
        function: Of tensors, or of distributed ones.
        lengths: How many of their first dimensions differ from call to call.
    """
    traced: Any = None

    def open_ended(part: tf.TypeSpec) -> tf.TypeSpec:
        if not isinstance(part, tf.TensorSpec):  # of a distributed value: a tensor for each of this process's replicas
            return type(part)(*map(open_ended, part._value_specs))
        return tf.TensorSpec([None] * min(lengths, part.shape.rank) + part.shape[lengths:].as_list(), part.dtype)

    def call(*arguments: Any) -> Any:
        nonlocal traced
        if traced is None:
            types = tf.nest.map_structure(tf.type_spec_from_value, arguments)
            signature = tf.nest.map_structure(open_ended, types)
            traced = tf.function(function, input_signature=signature)
        return traced(*arguments)

    return call


def local_replicas(distribution: tf.distribute.Strategy) -> list[int]:
    """Which of all replicas this process runs."""
    found: list[int] = []

    def note(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
        found.append(int(context.replica_id_in_sync_group))
        return tf.constant(0)

    distribution.experimental_distribute_values_from_function(note)
    return found


def distributed(shares: Sequence[Batch], distribution: tf.distribute.Strategy) -> Any:
    """The local replicas' shares as one distributed value."""
    remaining = iter(shares)
    return distribution.experimental_distribute_values_from_function(
        lambda _: tf.nest.map_structure(tf.convert_to_tensor, next(remaining))
    )
