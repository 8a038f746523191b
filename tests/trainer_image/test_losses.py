"""Both losses against float64 NumPy."""

import numpy as np
import tensorflow as tf

from trainer_image import losses


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(target)), target]).sum())


def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    target = np.array([4, 0, 4, 2, 7, 1])  # 4 twice: an accidental hit for the other row
    return random.normal(size=(6, 5)), random.normal(size=(9, 5)), target


def test_full_catalogue_is_softmax_cross_entropy() -> None:
    queries, candidates, target = sample()
    found = losses.full_catalogue(
        tf.constant(queries, tf.float32), tf.constant(candidates, tf.float32), tf.constant(target, tf.int32)
    )
    np.testing.assert_allclose(found, cross_entropy(queries @ candidates.T, target), rtol=1e-5)


def test_in_batch_corrects_for_popularity_and_removes_accidental_hits() -> None:
    queries, candidates, target = sample()
    # Shares down to 1e-7, beyond where TFRS alone would clip them.
    share = np.array([0.3, 0.2, 1e-7, 0.1, 0.2, 0.05, 0.05, 1e-6, 0.1])
    logits = queries @ candidates[target].T - np.log(share[target])
    same_product = (target[:, None] == target[None, :]) & ~np.eye(len(target), dtype=bool)
    expected = cross_entropy(np.where(same_product, -np.inf, logits), np.arange(len(target)))
    found = losses.InBatch(tf.constant(share, tf.float32))(
        tf.constant(queries, tf.float32), tf.constant(candidates[target], tf.float32), tf.constant(target, tf.int32)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
