"""Both losses and their gradients against row-wise ones: NumPy and TensorFlow in float64, and TFRS itself."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer_image import losses

QUERIES, PRODUCTS, WIDTH, ROWS = 7, 11, 5, 60


class Sample(NamedTuple):
    """Sixty purchases, row by row and as pairs with counts; many rows are equal."""

    queries: np.ndarray
    products: np.ndarray
    query: np.ndarray
    product: np.ndarray
    pairs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]


@pytest.fixture
def sample() -> Sample:
    random = np.random.default_rng(3)
    query, product = random.integers(QUERIES, size=ROWS), random.integers(PRODUCTS - 2, size=ROWS)
    counted = sorted(Counter(zip(query.tolist(), product.tolist(), strict=True)).items())
    assert max(count for _, count in counted) > 1
    pairs = (
        tf.constant([pair[0] for pair, _ in counted], tf.int32),
        tf.constant([pair[1] for pair, _ in counted], tf.int32),
        tf.constant([count for _, count in counted], tf.float64),
    )
    return Sample(
        3 * random.normal(size=(QUERIES, WIDTH)), random.normal(size=(PRODUCTS, WIDTH)), query, product, pairs
    )


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(target)), target]).sum())


def test_full_catalogue_over_histograms_is_row_wise_cross_entropy(sample: Sample) -> None:
    found = losses.full_catalogue(tf.constant(sample.queries), tf.constant(sample.products), *sample.pairs)
    expected = cross_entropy((sample.queries @ sample.products.T)[sample.query], sample.product)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_full_catalogue_gradients_are_those_of_the_rows(sample: Sample) -> None:
    queries, products = tf.Variable(sample.queries), tf.Variable(sample.products)
    with tf.GradientTape(persistent=True) as tape:
        grouped = 0.37 * losses.full_catalogue(queries, products, *sample.pairs)
        logits = tf.matmul(tf.gather(queries, sample.query), products, transpose_b=True)
        rows = 0.37 * tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=sample.product, logits=logits)
        )
    np.testing.assert_allclose(grouped, rows, rtol=1e-13)
    for variable in (queries, products):
        expected = tf.convert_to_tensor(tape.gradient(rows, variable))
        np.testing.assert_allclose(tape.gradient(grouped, variable), expected, rtol=1e-11, atol=1e-12)


def shares() -> np.ndarray:
    """Down to 1e-9, far beyond where TFRS alone would clip them."""
    share = np.random.default_rng(4).gamma(0.3, size=PRODUCTS)
    share[1] = 1e-9 * share.sum()
    return share / share.sum()


def corrected_rows(
    queries: tf.Tensor, products: tf.Tensor, query: np.ndarray, product: np.ndarray, share: np.ndarray
) -> tf.Tensor:
    """Row by row, as the paper has it: logits less log share, the row's own product once."""
    logits = tf.matmul(tf.gather(queries, query), tf.gather(products, product), transpose_b=True)
    logits -= np.log(share[product])
    same = (product[:, None] == product[None, :]) & ~np.eye(len(product), dtype=bool)
    logits = tf.where(same, tf.constant(-np.inf, logits.dtype), logits)
    labels = np.arange(len(product))
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def in_batch(queries: tf.Tensor, products: tf.Tensor, sample: Sample, dtype: tf.DType) -> tf.Tensor:
    """With the batch's products in ascending order, and two that it does not hold as padding."""
    counts = np.bincount(sample.product, minlength=PRODUCTS)
    pair_query, pair_product, count = sample.pairs
    share = tf.constant(np.log(shares()), dtype)
    return losses.in_batch(
        queries, products, pair_query, pair_product, tf.cast(count, dtype), tf.constant(counts, dtype), share
    )


def test_in_batch_and_its_gradients_are_those_of_the_rows(sample: Sample) -> None:
    queries, products = tf.Variable(sample.queries), tf.Variable(sample.products)
    with tf.GradientTape(persistent=True) as tape:
        found = 0.37 * in_batch(queries, products, sample, tf.float64)
        rows = 0.37 * corrected_rows(queries, products, sample.query, sample.product, shares())
    np.testing.assert_allclose(found, rows, rtol=1e-12)
    for variable in (queries, products):
        expected = tf.convert_to_tensor(tape.gradient(rows, variable))
        np.testing.assert_allclose(tape.gradient(found, variable), expected, rtol=1e-9, atol=1e-11)


def test_in_batch_is_the_retrieval_task_of_tensorflow_recommenders(sample: Sample) -> None:
    """TFRS clips shares at 1e-6, so here the correction rides on the embeddings: [q, 1] · [c, -log share]."""
    queries, products = (tf.constant(value, tf.float32) for value in (sample.queries, sample.products))
    correction = tf.constant(-np.log(shares()), tf.float32)[:, None]
    task = tfrs.tasks.Retrieval(remove_accidental_hits=True)
    expected = task(
        tf.concat([tf.gather(queries, sample.query), tf.ones([ROWS, 1])], axis=1),
        tf.gather(tf.concat([products, correction], axis=1), sample.product),
        candidate_ids=tf.constant(sample.product),
        compute_metrics=False,
        compute_batch_metrics=False,
    )
    np.testing.assert_allclose(in_batch(queries, products, sample, tf.float32), expected, rtol=1e-5)


def test_large_logits_do_not_overflow(sample: Sample) -> None:
    found = losses.full_catalogue(
        tf.constant(100 * sample.queries, tf.float32),
        tf.constant(100 * sample.products, tf.float32),
        *sample.pairs[:2],
        tf.cast(sample.pairs[2], tf.float32),
    )
    expected = cross_entropy((1e4 * sample.queries @ sample.products.T)[sample.query], sample.product)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_chance_over_the_catalogue_is_the_log_of_its_size() -> None:
    assert float(losses.chance_of_catalogue(tf.constant([64.0]), 40)) / 64 == pytest.approx(np.log(40))


def in_a_batch(drawn: np.ndarray, share: np.ndarray) -> float:
    """Chance of a purchase of a batch of products, with two products that nobody bought as padding."""
    product, count = np.unique(drawn, return_counts=True)
    padded = np.append(count, [0, 0]).astype(np.float32)
    log_share = tf.constant(np.append(np.log(share[product]), [-np.inf, 0.0]), tf.float32)
    pairs = tf.constant(np.append(np.arange(len(product)), [len(product), 0]), tf.int32)
    weights = tf.constant(padded[np.append(np.arange(len(product)), [-1, -1])])
    return float(losses.chance_in_batch(pairs, weights, tf.constant(padded), log_share)) / len(drawn)


def test_chance_in_a_batch_of_one_is_certainty() -> None:
    """Its own product is the only candidate; so it is in a batch of nothing but one product, however often."""
    share = np.array([0.75, 0.25])
    assert in_a_batch(np.array([1]), share) == 0
    assert in_a_batch(np.array([0]), share) == 0
    assert in_a_batch(np.zeros(4096, np.int64), share) == 0


def test_chance_in_batch_is_near_the_log_of_the_batch() -> None:
    """Of equally popular products a batch holds as many copies as rows, the row's own product counting once."""
    drawn = np.random.default_rng(0).integers(1000, size=4096)
    others, own = 4096 * 999 / 1000, 1
    assert in_a_batch(drawn, np.full(1000, 1 / 1000)) == pytest.approx(np.log(others + own), abs=1e-3)


def test_chance_in_a_batch_of_all_rows_is_exact() -> None:
    """N products that share R rows: each of the other N - 1 weighs R, the own one 1 / share."""
    count = np.array([1, 2, 5, 12])
    expected = np.average(np.log1p(3 * 20 * count / 20), weights=count)
    assert in_a_batch(np.repeat(np.arange(4), count), count / 20) == pytest.approx(expected, rel=1e-6)


def test_the_losses_of_equal_scores_are_those_of_chance(sample: Sample) -> None:
    """Zeros for queries score everything alike, whatever the temperature divides them by."""
    queries, products = np.zeros((QUERIES, WIDTH)), sample.products
    pair_query, pair_product, count = sample.pairs
    found = losses.full_catalogue(tf.constant(queries), tf.constant(products), *sample.pairs)
    np.testing.assert_allclose(losses.chance_of_catalogue(count, PRODUCTS), found, rtol=1e-12)

    counts = tf.constant(np.bincount(sample.product, minlength=PRODUCTS), tf.float64)
    found = in_batch(tf.constant(queries), tf.constant(products), sample, tf.float64)
    chance = losses.chance_in_batch(pair_product, count, counts, tf.constant(np.log(shares())))
    np.testing.assert_allclose(chance, found, rtol=1e-9)

    kept, weight = tf.constant(np.random.default_rng(5).random(len(count)) < 0.6), tf.cast(count, tf.float32)
    towers = tf.constant(queries, tf.float32), tf.constant(products, tf.float32)
    found = losses.others(*towers, pair_query, pair_product, weight, kept)
    chance = losses.chance_of_others(pair_query, weight, kept, QUERIES, PRODUCTS)
    np.testing.assert_allclose(chance, found, rtol=1e-6)


def test_chance_of_what_is_left_where_everything_is_kept() -> None:
    """One query that has seen both products, and one of whom one of two is hidden: the other is kept, so it is sure."""
    query, kept = tf.constant([0, 0, 1, 1]), tf.constant([True, True, False, True])
    assert float(losses.chance_of_others(query, tf.ones(4), kept, 2, 2)) == 0.0
    assert float(losses.chance_of_others(query, tf.ones(4), kept, 2, 5)) == pytest.approx(np.log(4))
