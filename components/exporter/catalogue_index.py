"""TFRS's exact retrieval index, with products that are left out of a row and the Evaluator's definition of a score."""

import tensorflow as tf
import tensorflow_recommenders as tfrs


class CatalogueIndex(tfrs.layers.factorized_top_k.BruteForce):
    """The best of N products for every query.

    Scores are products and sums in float64, rounded to float32, as `components.common.dot_products` defines them:
    a sum that is added up in another order, as a larger batch or another machine may do, comes out the same. Own terms
    are added before the rounding, as `components.common.own_terms` defines it.

    Args:
        embeddings: float32 [N, D], all finite.
        ids: int64 [N].
    """

    def __init__(self, embeddings: tf.Tensor, ids: tf.Tensor):
        super().__init__(k=1)
        self.products = int(ids.shape[0])
        self.index(tf.cast(embeddings, tf.float64), ids)
        self._lengths = tf.Variable(tf.norm(self._candidates, axis=1), trainable=False)

    def call(
        self,
        queries: tf.Tensor,
        k: tf.Tensor | None = None,
        left_out: tf.Tensor | None = None,
        cosine: bool = False,
        own: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The first k of each row's products, best first; equal scores in the order of the index.

        Args:
            queries: float32 [B, D].
            k: int32 scalar of 0 to N.
            left_out: bool [B, N], the products that a row must not show; none by default.
            cosine: Scores are cosines, 0 where an embedding is 0, instead of dot products.
            own: What is added to the scores of some products, of a model with a history: their places in the index,
                int64 [B, H], distinct in a row, below 0 where there is none, and the terms, float32 [B, H].

        Returns:
            Scores float32 [B, k], -infinity where all products of the row have been shown, and places in the index,
            int32 [B, k].
        """
        queries = tf.cast(queries, tf.float64)
        scores = self._compute_score(queries, self._candidates)
        if cosine:
            scores = tf.math.divide_no_nan(scores, tf.norm(queries, axis=1, keepdims=True) * self._lengths)
        if own is not None:
            places, terms = own
            given = tf.where(places >= 0)  # [found, 2]
            cells = tf.stack([given[:, 0], tf.gather_nd(places, given)], axis=1)
            scores = tf.tensor_scatter_nd_add(scores, cells, tf.cast(tf.gather_nd(terms, given), tf.float64))
        scores = tf.cast(scores, tf.float32)
        if left_out is not None:
            scores = tf.where(left_out, tf.constant(float("-inf")), scores)
        found: tuple[tf.Tensor, tf.Tensor] = tf.math.top_k(scores, self._k if k is None else k)
        return found

    def ids(self, places: tf.Tensor) -> tf.Tensor:
        """The products at places in the index."""
        return tf.gather(self._identifiers, places)

    def embeddings(self, places: tf.Tensor) -> tf.Tensor:
        """Their embeddings, float32 [..., D]: what was indexed, bit for bit."""
        return tf.cast(tf.gather(self._candidates, places), tf.float32)
