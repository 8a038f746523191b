"""Two softmax losses over histograms of purchases, both a sum over the replica's purchases.

full_catalogue: cross-entropy against every product. A query's purchases share one row of logits, so a customer's two
hundred rows cost as much as one; by distributivity it is the sum of the rows' cross-entropies, exactly.
in_batch: `tfrs.tasks.Retrieval` with accidental hits removed and the sampling correction of Yi et al. 2019,
"Sampling-bias-corrected neural modeling for large corpus item recommendations", over the products of the global batch.
Equal products are one column with their number, and equal queries one row, which changes the arithmetic but not the
result; tests compare both with TFRS and with float64. TFRS itself would clip the correction at 1e-6, which flattens
the tail, and see only each replica's own products.

Both have their gradients written out, so that the exponentials of the forward pass are used again.

What stands beside a loss as that of chance is the same sum of a model that scores all products alike, over the same
purchases: how many products each of them competes with is known exactly, and needs no draw.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

NEVER = -1e9  # a logit whose exponential is 0
Gradient = Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]


def full_catalogue(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    pair_query: tf.Tensor,
    pair_candidate: tf.Tensor,
    pair_count: tf.Tensor,
) -> tf.Tensor:
    """Softmax cross-entropy over the whole catalogue.

    Args:
        queries: [B, D].
        candidates: [N, D], the whole catalogue in index order.
        pair_query: int32 [P], the query of each pair.
        pair_candidate: int32 [P], the product of each pair.
        pair_count: [P], how many purchases each pair stands for.

    Returns:
        Scalar, summed over all purchases.
    """
    return softmax(_logits(queries, candidates), pair_query, pair_candidate, pair_count)


def others(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    pair_query: tf.Tensor,
    pair_candidate: tf.Tensor,
    pair_weight: tf.Tensor,
    is_kept: tf.Tensor,
) -> tf.Tensor:
    """Softmax cross-entropy of hidden products over the catalogue without the kept ones.

    Args:
        queries, candidates, pair_query, pair_candidate: As for `full_catalogue`.
        pair_weight: [P], what each pair counts where it is hidden.
        is_kept: bool [P], the pairs that the query has seen.

    Returns:
        Scalar, summed over the hidden pairs, each with its weight.
    """
    logits = _logits(queries, candidates)
    places = tf.stack([pair_query, pair_candidate], axis=1)
    logits = tf.tensor_scatter_nd_add(logits, places, tf.where(is_kept, NEVER, 0.0))
    return softmax(logits, pair_query, pair_candidate, tf.where(is_kept, 0.0, pair_weight))


@tf.custom_gradient
def softmax(logits: tf.Tensor, query: tf.Tensor, candidate: tf.Tensor, count: tf.Tensor) -> Any:
    """Sum over queries of n logsumexp(logits), n being its purchases, less the logits of what was bought."""
    places = tf.stack([query, candidate], axis=1)
    purchases = tf.math.unsorted_segment_sum(count, query, tf.shape(logits)[0])
    exps, top = _exponentials(logits)
    sums = tf.reduce_sum(exps, axis=1)
    loss = tf.reduce_sum(purchases * (tf.math.log(sums) + top)) - tf.reduce_sum(count * tf.gather_nd(logits, places))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        expected = exps * (upstream * purchases / sums)[:, None]
        return tf.tensor_scatter_nd_sub(expected, places, upstream * count), None, None, None

    return loss, gradient


def in_batch(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    pair_query: tf.Tensor,
    pair_candidate: tf.Tensor,
    pair_count: tf.Tensor,
    candidate_count: tf.Tensor,
    log_share: tf.Tensor,
) -> tf.Tensor:
    """Softmax cross-entropy over the products of the global batch.

    Args:
        queries: [B, D].
        candidates: [C, D], the distinct products that the global batch bought.
        pair_query: int32 [P], the query of each pair.
        pair_candidate: int32 [P], the candidate of each pair.
        pair_count: [P], how many purchases each pair stands for.
        candidate_count: [C], how many purchases of the global batch each candidate has; 0 for padding.
        log_share: [C], the logarithm of each candidate's share of all training purchases.

    Returns:
        Scalar, summed over the replica's purchases.
    """
    offset = tf.where(candidate_count > 0, tf.math.log(candidate_count) - log_share, -1e9)
    logits = _logits(queries, candidates) + offset
    return _in_batch(logits, pair_query, pair_candidate, pair_count, tf.gather(candidate_count, pair_candidate))


@tf.custom_gradient
def _in_batch(
    logits: tf.Tensor, query: tf.Tensor, candidate: tf.Tensor, count: tf.Tensor, copies: tf.Tensor
) -> tf.Tensor:
    """A purchase meets its own product once and every other one as often as the batch bought it.

    With e = exp(logits), which counts the own product `copies` times, its softmax sum is S - (1 - 1 / copies) e.
    """
    places = tf.stack([query, candidate], axis=1)
    exps, top = _exponentials(logits)
    own_logit, own = tf.gather_nd(logits, places), tf.gather_nd(exps, places)
    copies = tf.maximum(copies, 1.0)
    sums = tf.gather(tf.reduce_sum(exps, axis=1), query) - (1.0 - 1.0 / copies) * own
    loss = tf.reduce_sum(count * (tf.math.log(sums) + tf.gather(top, query) - own_logit + tf.math.log(copies)))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        weight = upstream * count / sums
        of_query = tf.math.unsorted_segment_sum(weight, query, tf.shape(logits)[0])
        surplus = upstream * count + weight * (1.0 - 1.0 / copies) * own
        return tf.tensor_scatter_nd_sub(exps * of_query[:, None], places, surplus), None, None, None, None

    return loss, gradient


def chance_of_catalogue(pair_weight: tf.Tensor, products: tf.Tensor | int) -> tf.Tensor:
    """What `full_catalogue` is where all products score alike: [P] weights of purchases, among so many products."""
    return tf.reduce_sum(pair_weight) * tf.math.log(tf.cast(products, pair_weight.dtype))


def chance_of_others(
    pair_query: tf.Tensor, pair_weight: tf.Tensor, is_kept: tf.Tensor, queries: tf.Tensor | int, products: int
) -> tf.Tensor:
    """What `others` is where all products score alike.

    Args:
        pair_query, pair_weight, is_kept: As for `others`.
        queries, products: How many there are.
    """
    kept = tf.math.unsorted_segment_sum(tf.cast(is_kept, pair_weight.dtype), pair_query, queries)
    # A hidden product is among those that are left, so there is one; of a query without hidden ones nothing counts.
    left = tf.maximum(products - tf.gather(kept, pair_query), 1)
    return tf.reduce_sum(tf.where(is_kept, tf.zeros_like(pair_weight), pair_weight) * tf.math.log(left))


def chance_in_batch(
    pair_candidate: tf.Tensor, pair_count: tf.Tensor, candidate_count: tf.Tensor, log_share: tf.Tensor
) -> tf.Tensor:
    """What `in_batch` is where all products score alike; takes the same arguments.

    Every product then weighs its copies over its share. A purchase meets its own product once, and those of the other
    products as often as the batch holds them.
    """
    one = tf.where(candidate_count > 0, tf.exp(-log_share), tf.zeros_like(log_share))
    copies = candidate_count * one
    others = tf.maximum(tf.reduce_sum(copies) - tf.gather(copies, pair_candidate), 0)
    own = tf.gather(one, pair_candidate)
    own = tf.where(pair_count > 0, own, tf.ones_like(own))  # padding may name a product that nobody bought
    return tf.reduce_sum(pair_count * tf.math.log1p(others / own))


def _logits(queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """[B, N] in float32 or better, whatever precision the towers have."""
    logits = tf.matmul(queries, candidates, transpose_b=True)
    return tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits


def _exponentials(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """exp(logits - top) and top, the largest logit of each row: [B, N] and [B]."""
    top = tf.reduce_max(logits, axis=1)
    return tf.exp(logits - top[:, None]), top
