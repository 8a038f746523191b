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
