"""The feature kind `history`: what a customer bought before, pooled from the candidate tower's own embeddings.

The query tower reads sum_j w_j p_j / sqrt(1 + sum_j w_j²), with the embeddings p of the products bought and
w = log(1 + times bought). It is trained like a denoising autoencoder (Liang et al. 2018, "Variational autoencoders for
collaborative filtering"; Steck 2020, "Autoencoders that don't overfit towards the identity"): of every customer's
products a part that changes from step to step is hidden, and predicted from the others.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from trainer_image import inputs
from trainer_image.inputs import Purchases

KEY = "history"
KEPT = 0.8  # share of a customer's products that a step sees; .7 to .9 do equally well on the demo's validation split
EMPTY = 0.02  # share of customers of whom a step sees nothing, so that the model knows what to say to a new one
WHOLE = -1  # stands for all products of a customer


class Events(NamedTuple):
    """E purchases of B queries.

    Attributes:
        row: int32 [E], the query of each.
        place: int32 [E], the product, as an index of the catalogue.
        age: float32 [E], days ago.
    """

    row: Any
    place: Any
    age: Any


class Pairs(NamedTuple):
    """P pairs of a query and a product that it bought, in the order of their first purchase in Events.

    Attributes:
        row, place: int32 [P].
        count: float32 [P], how often it was bought.
        first, last: float32 [P], days since the first and the last time.
        decayed: float32 [P, len(half_lives)], purchases that count half as much after each half-life.
    """

    row: tf.Tensor
    place: tf.Tensor
    count: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor
    decayed: tf.Tensor


class History(NamedTuple):
    """The purchases of C customers, whose rows are 1 to C; row 0, an unknown customer, bought nothing.

    Attributes:
        starts: int64 [C + 2]; the purchases of row c are starts[c] to starts[c + 1].
        place: int32 [R], indices of the catalogue.
        age: float32 [R], days before the last purchase.
        days: From the first purchase to the last.
        in_time: The splits follow each other in time, so what is asked is what comes next.
    """

    starts: np.ndarray
    place: np.ndarray
    age: np.ndarray
    days: float
    in_time: bool

    def everything(self) -> Events:
        """All purchases, of queries that are the rows."""
        rows = np.arange(len(self.starts) - 1, dtype=np.int32)
        return Events(np.repeat(rows, np.diff(self.starts)), self.place, self.age)

    def of(self, rows: np.ndarray) -> Events:
        """The purchases of some rows, as queries 0 to len(rows) - 1."""
        lengths = np.diff(self.starts)[rows]
        chosen = inputs.ranges(self.starts[rows], lengths)
        return Events(np.repeat(np.arange(len(rows), dtype=np.int32), lengths), self.place[chosen], self.age[chosen])


def pairs(events: Events, products: int, half_lives: tuple[float, ...]) -> Pairs:
    """One pair for all purchases of a product by a query."""
    events = Events(*map(tf.convert_to_tensor, events))
    key = tf.cast(events.row, tf.int64) * products + tf.cast(events.place, tf.int64)
    distinct, pair = tf.unique(key)
    size = tf.size(distinct)

    def total(values: tf.Tensor) -> tf.Tensor:
        return tf.math.unsorted_segment_sum(values, pair, size)

    powers = [tf.pow(2.0, -events.age / half_life) for half_life in half_lives]
    return Pairs(
        row=tf.cast(distinct // products, tf.int32),
        place=tf.cast(distinct % products, tf.int32),
        count=total(tf.ones_like(events.age)),
        first=tf.math.unsorted_segment_max(events.age, pair, size),
        last=tf.math.unsorted_segment_min(events.age, pair, size),
        decayed=total(tf.stack(powers, axis=1)),
    )


def pooled(candidates: tf.Tensor, row: tf.Tensor, place: tf.Tensor, count: tf.Tensor, rows: Any) -> tf.Tensor:
    """What the query tower reads: [rows, D].

    Args:
        candidates: [N, D], embeddings of the catalogue.
        row, place: int32 [P], pairs.
        count: float32 [P], how often each was bought; 0 for pairs that do not count.
        rows: B.
    """
    weight = tf.math.log1p(count)
    shape = tf.cast(tf.stack([rows, tf.shape(candidates)[0]]), tf.int64)
    bought = tf.SparseTensor(tf.cast(tf.stack([row, place], axis=1), tf.int64), weight, shape)
    sums = tf.sparse.sparse_dense_matmul(bought, candidates)  # forward and backward twice as fast as gather and sum
    squares = tf.math.unsorted_segment_sum(tf.square(weight), row, rows)
    return sums / tf.sqrt(1.0 + squares)[:, None]


def is_kept(customer: tf.Tensor, place: tf.Tensor, step: tf.Tensor, seed: int) -> tf.Tensor:
    """bool [P]: which pairs a step sees. By hashes, so that it depends on nothing but pair, step and seed."""
    shown = _uniform(customer, tf.fill(tf.shape(place), WHOLE), step, seed) >= EMPTY
    return shown & (_uniform(customer, place, step, seed) < KEPT)


def _uniform(customer: tf.Tensor, place: tf.Tensor, step: tf.Tensor, seed: int) -> tf.Tensor:
    """float64 [P] in [0, 1): MurmurHash3's 32-bit finalizer, by Austin Appleby, once for each of the parts."""
    hashed = tf.fill(tf.shape(place), tf.constant(seed % (1 << 32), tf.uint32))
    for part in (customer, place, tf.fill(tf.shape(place), step)):
        hashed = _mixed(tf.bitwise.bitwise_xor(hashed, tf.cast(part, tf.uint32)))
    return tf.cast(hashed, tf.float64) / 2.0**32


def _mixed(x: tf.Tensor) -> tf.Tensor:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.uint32)))
        x *= tf.constant(factor, tf.uint32)
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(16, tf.uint32)))


def target_weight(count: Any) -> Any:
    """What a hidden product counts in the loss: the root of how often it was bought. 1 or the count do less well."""
    return count**0.5


def expected_targets(purchases: Purchases, queries: int) -> float:
    """What all targets of a step of so many queries weigh, in expectation."""
    return float(
        (1 - KEPT * (1 - EMPTY)) * target_weight(purchases.times.astype(np.float64)).sum() * queries / purchases.groups
    )
