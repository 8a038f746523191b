"""How likely a customer buys a product again: an exact term that is added to the score of the customer's own products.

score(u, i) = scale q(u)·p(i) + trend(i) + [u bought i] r(u, i)

r is a small network of how often, how recently and how regularly u bought i, of how well the towers think i fits, and
of how often i is bought again by anybody. trend(i) is a weighted sum of the logarithms of i's shares of what was sold,
in all and lately; as one more dimension of both embeddings (1 and trend) it leaves an ordinary dot product.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from trainer_image import history
from trainer_image.history import Events, Pairs

HALF_LIVES = (5.0, 10.0, 30.0, 90.0)  # days
MONTH = HALF_LIVES.index(30.0)  # the half-life of what sold lately
HIDDEN = 32


class Statistics(NamedTuple):
    """What all customers together did with each of N products.

    Attributes:
        bought: float32 [N], purchases.
        decayed: float32 [N, len(HALF_LIVES)], the same, of which each counts half as much after each half-life.
        buyers: float32 [N], customers.
        again: float32 [N], customers who bought it more than once.
    """

    bought: tf.Tensor
    decayed: tf.Tensor
    buyers: tf.Tensor
    again: tf.Tensor


def pairs_of(events: Events, products: int) -> Pairs:
    """The pairs of some purchases, with these half-lives."""
    return history.pairs(events, products, HALF_LIVES)


def statistics(pairs: Pairs, products: int) -> Statistics:
    """Of the pairs of all customers."""

    def total(values: tf.Tensor) -> tf.Tensor:
        return tf.math.unsorted_segment_sum(values, pairs.place, products)

    again = tf.cast(pairs.count > 1, tf.float32)
    return Statistics(total(pairs.count), total(pairs.decayed), total(tf.ones_like(pairs.count)), total(again))


def trends(found: Statistics) -> tf.Tensor:
    """[N, 1 + len(HALF_LIVES)]: logarithms of a product's share of what was sold, in all and lately. The constants
    count for a product that was not sold."""
    in_all = tf.math.log((found.bought + 1.0) / (tf.reduce_sum(found.bought) + 1.0))
    lately = tf.math.log((found.decayed + 0.3) / (tf.reduce_sum(found.decayed, axis=0) + 0.3))
    return tf.concat([in_all[:, None], lately], axis=1)


def inputs(pairs: Pairs, found: Statistics, fit: tf.Tensor, rows: Any) -> tf.Tensor:
    """What the network reads of each pair, float32 [P, F].

    Args:
        pairs: Of B queries.
        found: Of all customers.
        fit: [P], the towers' score of each pair.
        rows: B.
    """

    def of_query(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.math.unsorted_segment_sum(values, pairs.row, rows), pairs.row)

    def of_product(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, pairs.place)

    log, log1p = tf.math.log, tf.math.log1p
    count, first, last, decayed = pairs.count, pairs.first, pairs.last, pairs.decayed
    total = of_query(count)
    share = (decayed + 0.03) / (of_query(decayed) + 1.0)
    gap = (first - last) / tf.maximum(count - 1.0, 1.0)
    several = tf.cast(count > 1, tf.float32)
    visit = tf.gather(tf.math.unsorted_segment_min(last, pairs.row, rows), pairs.row)
    bought, lately, buyers, again = (of_product(values) for values in found)
    columns = [
        log(count),
        log(count / total),
        log(total),
        log1p(last),
        log1p(first),
        log1p(gap),
        log((last + 1.0) / (gap + 3.0)) * several,
        several,
        log1p(visit),
        log1p(bought),
        log((lately[:, MONTH] + 1.0) / (bought + 5.0)),
        log((again + 2.0) / (buyers + 10.0)),
        log((bought + 1.0) / (buyers + 1.0)),
        fit,
    ]
    return tf.concat([tf.stack(columns, axis=1), log(decayed + 0.03), log(share)], axis=1)


class Repeats(tf.Module):
    """The network, and how it meets the towers' score.

    Args:
        mean, deviation: float32 [F], of its inputs in training.
        known: The statistics with which the model serves, until there are others.
    """

    def __init__(self, mean: tf.Tensor, deviation: tf.Tensor, known: Statistics):
        super().__init__()
        self.mean, self.deviation = tf.Variable(mean, trainable=False), tf.Variable(deviation, trainable=False)
        self.known = [tf.Variable(values, trainable=False) for values in known]
        self.scale = tf.Variable(1.0)
        self.trend = tf.Variable(tf.zeros(1 + len(HALF_LIVES)))
        self.dense = [
            keras.layers.Dense(HIDDEN, "silu", name="repeats_dense_0"),
            keras.layers.Dense(HIDDEN, "silu", name="repeats_dense_1"),
            keras.layers.Dense(1, kernel_initializer="zeros", name="repeats_dense_2"),
        ]
        self(tf.zeros([1, len(mean)]))  # creates the variables

    def __call__(self, found: tf.Tensor) -> tf.Tensor:
        """r of pairs, float32 [P], from their `inputs` [P, F]."""
        hidden = (found - self.mean) / self.deviation
        for layer in self.dense:
            hidden = layer(hidden)
        return hidden[:, 0]

    @property
    def statistics(self) -> Statistics:
        return Statistics(*(tf.convert_to_tensor(values) for values in self.known))

    @statistics.setter
    def statistics(self, found: Statistics) -> None:
        for variable, values in zip(self.known, found, strict=True):
            variable.assign(values)

    def bias(self, found: Statistics) -> tf.Tensor:
        """trend(i) of every product, [N]."""
        return tf.linalg.matvec(trends(found), self.trend)

    @property
    def bias_of_new(self) -> tf.Tensor:
        """trend(i) of a product that was not sold: a scalar."""
        nothing = Statistics(*(tf.concat([values, tf.zeros_like(values[:1])], 0) for values in self.statistics))
        return self.bias(nothing)[-1]

    @property
    def weights(self) -> list[Any]:
        """What training changes."""
        return [self.scale, self.trend, *(variable.value for layer in self.dense for variable in layer.weights)]

    @property
    def everything(self) -> list[Any]:
        """All that its answers depend on."""
        return [*self.weights, self.mean, self.deviation, *self.known]
