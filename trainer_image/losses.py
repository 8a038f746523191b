"""Two losses, both a sum over the replica's rows; the caller divides by the global batch.

full_catalogue: softmax cross-entropy against every product. Exact, and cheaper than in-batch negatives as long as
the catalogue is not many times the batch.
in_batch: tfrs.tasks.Retrieval against the products of the batch, with the sampling correction of Yi et al. 2019,
"Sampling-bias-corrected neural modeling for large corpus item recommendations".
"""

import tensorflow as tf
import tensorflow_recommenders as tfrs


def full_catalogue(queries: tf.Tensor, candidates: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Softmax over the whole catalogue.

    Args:
        queries: float32 [B, D].
        candidates: float32 [N, D], the whole catalogue in index order.
        target: int32 [B], the index of the product bought.

    Returns:
        float32 scalar, summed over B.
    """
    logits = tf.matmul(queries, candidates, transpose_b=True)
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=logits))


class InBatch:
    """Softmax over the products bought in the batch, of all replicas, with logQ and accidental hits removed."""

    def __init__(self, probabilities: tf.Tensor):
        """Takes the sampling probabilities.

        Args:
            probabilities: float32 [N], each product's share of the training rows.
        """
        # TFRS would clip probabilities at 1e-6, which flattens the tail, so the correction rides on the embeddings:
        # [q, 1] · [c, -log p] = q·c - log p.
        self.correction = -tf.math.log(probabilities)[:, None]
        self.task = tfrs.tasks.Retrieval(remove_accidental_hits=True)

    def __call__(self, queries: tf.Tensor, bought: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Softmax over the batch's products.

        Args:
            queries: float32 [B, D].
            bought: float32 [B, D], the embedding of each row's product.
            target: int32 [B], the product's index in the catalogue.

        Returns:
            float32 scalar, summed over B.
        """
        corrected = tf.concat([bought, tf.gather(self.correction, target)], axis=1)
        return self.task(
            tf.concat([queries, tf.ones_like(queries[:, :1])], axis=1),
            gather_replicas(corrected),
            candidate_ids=gather_replicas(target),
            compute_metrics=False,
            compute_batch_metrics=False,
        )


def gather_replicas(value: tf.Tensor) -> tf.Tensor:
    """[B, ...] of every replica as [replicas * B, ...], this one's first: TFRS wants positives on the diagonal."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    everyone = context.all_gather(value, axis=0)
    return tf.roll(everyone, -context.replica_id_in_sync_group * tf.shape(value)[0], axis=0)
