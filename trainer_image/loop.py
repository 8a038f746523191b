"""The training loop: compiled steps under the strategy, validation after every epoch, the best weights kept."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.common import ranking
from components.common.errors import InputError
from trainer_image import inputs, losses, optimizer
from trainer_image.inputs import Rows
from trainer_image.model import TwoTower
from trainer_image.progress import Progress

KS = (5, 10, 50, 100)
FULL_CATALOGUE_UP_TO = 1.4  # products per row of the global batch; from here on, in-batch steps were the faster ones
STEPS_PER_CALL = 16

LossFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Step = Callable[[Any, tf.Tensor], tf.Tensor]


class Best(NamedTuple):
    """The best weights so far."""

    recall: float
    epoch: int
    values: list[np.ndarray]


def fit(model: TwoTower, step: Step, iterator: Any, validation_rows: Rows, progress: Progress, patience: int) -> Best:
    """Trains until the epochs are over or validation Recall stops rising; leaves the best weights in the model."""
    best = Best(-1.0, 0, model.get_values())
    try:
        for epoch in range(1, progress.epochs + 1):
            loss = run_epoch(step, iterator, progress, epoch)
            recalls = recall_at(model, validation_rows)
            progress.epoch_done(epoch, loss, recalls)
            reached = recalls[watched(len(model.catalogue))]
            if reached > best.recall:
                best = Best(reached, epoch, model.get_values())
            elif epoch - best.epoch >= patience:
                break
    finally:
        progress.close()
    model.set_values(best.values)
    return best


def watched(products: int) -> int:
    """The k of the validation Recall that decides, within half the catalogue: Recall@N is always 1."""
    return max((k for k in KS if k <= products / 2), default=KS[0])


def choose_loss(loss: str, catalogue_size: int, global_batch: int) -> str:
    """The cheaper loss where the user left the choice."""
    if loss != "auto":
        return loss
    return "full-catalogue" if catalogue_size <= FULL_CATALOGUE_UP_TO * global_batch else "in-batch"


def loss_function(loss: str, model: TwoTower, shares: tf.Tensor) -> LossFunction:
    """The function of queries [B, D] and target [B] that training minimises, summed over B."""
    if loss == "full-catalogue":
        return lambda queries, target: losses.full_catalogue(
            queries, model.candidate_tower(model.encoded_catalogue), target
        )
    in_batch = losses.InBatch(shares)

    def of_batch(queries: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        encoded = {key: tf.gather(value, target) for key, value in model.encoded_catalogue.items()}
        return in_batch(queries, model.candidate_tower(encoded), target)

    return of_batch


def chance_loss(loss: str, shares: tf.Tensor, target: np.ndarray, global_batch: int, seed: int) -> float:
    """The loss per row of a model that scores all products alike; in-batch, on one batch drawn at random."""
    if loss == "full-catalogue":
        return float(np.log(len(shares)))
    drawn = tf.constant(np.random.default_rng(seed).choice(target, global_batch))
    nothing = tf.zeros([global_batch, 1])
    return float(losses.InBatch(shares)(nothing, nothing, drawn)) / global_batch


def training_step(
    model: TwoTower,
    adam: keras.optimizers.Optimizer,
    loss_of: LossFunction,
    distribution: tf.distribute.Strategy,
    batch_size: int,
) -> Step:
    """Returns a compiled function (iterator, steps) that trains and returns the mean loss per row.

    Every replica's loss is its sum over the global batch, so the summed gradients are those of one large batch.
    """
    replicas = distribution.num_replicas_in_sync

    def replica_step(query: dict[str, tf.Tensor], target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            data_loss = loss_of(model.query_tower(query), target) / (batch_size * replicas)
            penalty = tf.add_n([*model.query_tower.losses, *model.candidate_tower.losses, 0.0]) / replicas
            total = data_loss + penalty
        gradients = tape.gradient(total, [v.value for v in model.weights])
        adam.apply([optimizer.dense(gradient) for gradient in gradients], model.weights)
        return data_loss

    @tf.function
    def steps_of(iterator: Any, steps: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        for _ in tf.range(steps):
            query, target = next(iterator)
            per_replica = distribution.run(replica_step, args=(query, target))
            total += distribution.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return total / tf.cast(steps, tf.float32)

    return steps_of


def run_epoch(step: Step, iterator: Any, progress: Progress, epoch: int) -> float:
    """Trains one epoch; returns its mean loss per row.

    Raises:
        InputError: the loss is no longer a number.
    """
    total, done, steps = 0.0, 0, progress.steps
    while done < steps:
        chunk = min(STEPS_PER_CALL, steps - done)
        mean = float(step(iterator, tf.constant(chunk)))
        if not np.isfinite(mean):
            where = f"training loss in epoch {epoch}"
            raise InputError(where, str(mean), "a number", "Lower --learning-rate or lengthen --warmup-steps.")
        total, done = total + mean * chunk, done + chunk
        progress.steps_done(epoch, done, total / done)
    return total / steps


def recall_at(model: TwoTower, rows: Rows) -> dict[int, float]:
    """{k: Recall@k}, exact over the whole catalogue; k beyond its size is left out."""
    queries, index = inputs.unique_queries(rows)
    embedded = embed(model.query_tower, queries)
    candidates = model.candidate_tower(model.encoded_catalogue).numpy()
    scores = ranking.embedding_scores(embedded, candidates)
    better, tied = ranking.count_better(scores, index, rows.target, candidates=len(candidates))
    return {k: float(ranking.recall(better, tied, k).mean()) for k in KS if k <= len(candidates)}


def embed(tower: keras.Model, encoded: dict[str, np.ndarray], block: int = 8192) -> np.ndarray:
    """float32 [rows, D], in blocks of bounded memory."""
    rows = len(next(iter(encoded.values())))
    blocks = ({key: value[i : i + block] for key, value in encoded.items()} for i in range(0, rows, block))
    return np.concatenate([tower(part).numpy() for part in blocks])
