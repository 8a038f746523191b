"""TFRS's FactorizedTopK over a BruteForce index: a peer of `components.common.ranking`.

https://www.tensorflow.org/recommenders/api_docs/python/tfrs/metrics/FactorizedTopK
"""

from collections.abc import Callable, Sequence

import numpy as np

import trainer_image  # noqa: F401  before TensorFlow: tensorflow_recommenders needs tf.keras to be Keras 2

# isort: split
import tensorflow as tf
import tensorflow_recommenders as tfrs

Ranked = Callable[[np.ndarray, np.ndarray], np.ndarray]


def contestant(candidates: np.ndarray, ks: Sequence[int], batch: int) -> Ranked:
    """Returns a function from queries [Q, D] and their targets int32 [Q] to Recall at each k, float64 [K].

    Hits are found by id. Without ids a target's score, summed once more, is compared with those of the index; the two
    sums of one product differ in their last bits, so that half of the targets in place k count as missed.

    Args:
        candidates: float32 [N, D].
        ks: Cut-offs.
        batch: Queries at a time.
    """
    index = tfrs.layers.factorized_top_k.BruteForce(k=max(ks)).index(tf.constant(candidates))
    metric = tfrs.metrics.FactorizedTopK(candidates=index, ks=ks)
    table = tf.constant(candidates)

    @tf.function(
        input_signature=[tf.TensorSpec([None, candidates.shape[1]], tf.float32), tf.TensorSpec([None], tf.int32)]
    )
    def update(queries: tf.Tensor, target: tf.Tensor) -> None:
        metric.update_state(queries, tf.gather(table, target), true_candidate_ids=target)

    def ranked(queries: np.ndarray, target: np.ndarray) -> np.ndarray:
        for part in metric.metrics:
            part.reset_state()
        for start in range(0, len(queries), batch):
            rows = slice(start, start + batch)
            update(tf.constant(queries[rows]), tf.constant(target[rows]))
        return np.array([part.result().numpy() for part in metric.metrics], np.float64)

    return ranked
