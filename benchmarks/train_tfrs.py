"""The same two-tower model as TensorFlow Recommenders' tutorials build and train it: a peer of the Trainer.

Strings are looked up inside the towers and `fit` runs over a tf.data pipeline of raw rows. FactorizedTopK, which the
tutorials also compute while they train, is left out: it is slow, so that favours this peer.
https://www.tensorflow.org/recommenders/examples/basic_retrieval and .../deep_recommenders
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import trainer_image  # noqa: F401  before TensorFlow: tensorflow_recommenders needs tf.keras to be Keras 2

# isort: split
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from benchmarks.train_rows import CROSS_BUCKETS, ID, SHARE, Columns
from components.common import schema

BATCH, WARM_UP, LEARNING_RATE, L1 = 4096, 3, 1e-3, 1e-6
LAYERS = (128, 64, 32)
SHUFFLED = 100_000  # rows, as in the tutorials
QUERY_DIMS = {schema.CUSTOMER: 64, "city": 16}
CANDIDATE_DIMS = {schema.PRODUCT: 32, schema.CATEGORY: 16, schema.SUBCATEGORY: 24}
CROSSED, CROSS_DIM = (schema.CATEGORY, schema.SUBCATEGORY), 16

Vocabularies = Mapping[str, Mapping[str, Any]]
Judge = Callable[[int, float], bool]


class Tower(tf_keras.Model):
    """Raw columns [B] to float32 [B, LAYERS[-1]]: lookups, embeddings, numbers, Dense layers with ReLU but the last."""

    def __init__(self, dims: Mapping[str, int], vocabularies: Vocabularies, number: str = "", crossed: bool = False):
        super().__init__()
        self.embeddings = {name: _embedding(vocabularies[name]["tokens"], dim) for name, dim in dims.items()}
        self.number = number
        if number:
            moments = vocabularies[number]
            self.normalization = tf_keras.layers.Normalization(
                axis=None, mean=moments["mean"], variance=moments["variance"]
            )
        self.crossed = crossed
        if crossed:
            self.crossing = tf_keras.layers.HashedCrossing(CROSS_BUCKETS)
            self.cross_embedding = tf_keras.layers.Embedding(CROSS_BUCKETS, CROSS_DIM)
        self.dense = tf_keras.Sequential()
        for width in LAYERS:
            activation = "relu" if width != LAYERS[-1] else None
            regularizer = tf_keras.regularizers.L1(L1)
            self.dense.add(tf_keras.layers.Dense(width, activation=activation, kernel_regularizer=regularizer))

    def call(self, rows: Mapping[str, tf.Tensor]) -> tf.Tensor:
        parts = [embedding(rows[name]) for name, embedding in self.embeddings.items()]
        if self.number:
            parts.append(self.normalization(rows[self.number])[:, None])
        if self.crossed:
            parts.append(self.cross_embedding(self.crossing(tuple(rows[name] for name in CROSSED))))
        return self.dense(tf.concat(parts, axis=1))


def _embedding(tokens: list[str], dim: int) -> tf_keras.Model:
    """As in the tutorials: index 0 is for tokens that training did not see."""
    lookup = tf_keras.layers.StringLookup(vocabulary=tokens, mask_token=None)
    return tf_keras.Sequential([lookup, tf_keras.layers.Embedding(len(tokens) + 1, dim)])


class TwoTower(tfrs.models.Model):
    """In-batch softmax by tfrs.tasks.Retrieval.

    Args:
        vocabularies: The features of vocabularies.json.
        corrected: With logQ from each product's share of the training rows, and without accidental hits: what somebody
            who knows the task well adds. Else the tutorials' form.
    """

    def __init__(self, vocabularies: Vocabularies, corrected: bool):
        super().__init__()
        self.query_tower = Tower(QUERY_DIMS, vocabularies, number="revenue")
        self.candidate_tower = Tower(CANDIDATE_DIMS, vocabularies, crossed=True)
        self.corrected = corrected
        self.task = tfrs.tasks.Retrieval(remove_accidental_hits=corrected)

    def compute_loss(self, rows: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        corrections = {"candidate_sampling_probability": rows[SHARE], "candidate_ids": rows[ID]}
        return self.task(
            self.query_tower(rows),
            self.candidate_tower(rows),
            compute_metrics=False,
            **(corrections if self.corrected else {}),
        )


class _Clock(tf_keras.callbacks.Callback):
    """Times the steps of `fit` after the first `skip`; lets `judge` stop the clock, look, and end the training."""

    def __init__(self, skip: int = 0, every: int = 0, judge: Judge | None = None):
        super().__init__()
        self.skip, self.every, self.judge = skip, every, judge
        self.steps, self.seconds = 0, 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        self.steps += 1
        if self.steps == self.skip:
            self.started = now
        self.seconds = now - self.started
        if self.judge and self.steps % self.every == 0:
            self.model.stop_training = self.judge(self.steps, self.seconds)
            self.started += time.perf_counter() - now


def build(vocabularies: Vocabularies, *, corrected: bool, seed: int = 1) -> TwoTower:
    """The compiled model."""
    tf_keras.utils.set_random_seed(seed)
    model = TwoTower(vocabularies, corrected)
    model.compile(optimizer=tf_keras.optimizers.Adam(LEARNING_RATE))
    return model


def dataset(rows: Columns) -> tf.data.Dataset:
    """Raw rows, cached, shuffled anew in every epoch, in batches."""
    read = tf.data.Dataset.from_tensor_slices({name: tf.constant(column) for name, column in rows.items()})
    return read.cache().shuffle(SHUFFLED).batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def contestant(rows: Columns, vocabularies: Vocabularies, *, corrected: bool) -> Callable[[int], float]:
    """Returns a function that trains some steps further and returns examples a second.

    Args:
        rows: As train_rows.raw gives them.
        vocabularies: The features of vocabularies.json.
        corrected: See TwoTower.

    Every call of `fit` starts its pipeline anew; the clock starts after its first steps, which leaves that out.
    """
    model, batches = build(vocabularies, corrected=corrected), dataset(rows).repeat()

    def rate(steps: int) -> float:
        clock = _Clock(skip=WARM_UP)
        model.fit(batches, epochs=1, steps_per_epoch=WARM_UP + steps, callbacks=[clock], verbose=0)
        return steps * BATCH / clock.seconds

    rate(1)
    return rate


def rate(rows: Columns, steps: int, vocabularies: Vocabularies, *, corrected: bool) -> float:
    """Examples a second over some steps after a warm-up."""
    return contestant(rows, vocabularies, corrected=corrected)(steps)


def train(model: TwoTower, rows: Columns, judge: Judge, *, every: int, epochs: int) -> None:
    """Trains, and every so many steps stops the clock and calls `judge`.

    Args:
        model: From `build`.
        rows: Training rows.
        judge: Takes the steps and the seconds of training so far, from the call of `fit` on (tracing included, its own
            time left out); returns True to end the training.
        every: Steps.
        epochs: At most.
    """
    model.fit(dataset(rows), epochs=epochs, callbacks=[_Clock(every=every, judge=judge)], verbose=0)


def embed(tower: Tower, rows: Columns, block: int = 8192) -> np.ndarray:
    """Embeddings of raw customer rows (model.query_tower) or products (model.candidate_tower): float32 [R, D]."""
    count = len(next(iter(rows.values())))
    blocks = (
        {name: tf.constant(column[i : i + block]) for name, column in rows.items()} for i in range(0, count, block)
    )
    return np.concatenate([tower(part).numpy() for part in blocks])
