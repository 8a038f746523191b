"""A tower: embeddings and numbers side by side, through Dense layers, to one vector."""

from collections.abc import Mapping

import keras
import tensorflow as tf


class Tower(keras.Model):
    """Encoded features to an embedding. Hidden layers are ReLU, the last one linear.

    The candidate tower's last layer has no bias: it would add the same to all of a query's scores, which no softmax
    sees, so its gradient is nothing but rounding errors, and Adam would make full steps of them.

    Args:
        tables: {feature key: (rows, dim)}; rows 0 for features that go in as numbers.
        layers: Widths of the Dense layers.
        l1: L1 penalty on the Dense kernels.
        name: "query" or "candidate".
    """

    def __init__(self, tables: Mapping[str, tuple[int, int]], layers: tuple[int, ...], l1: float, name: str):
        super().__init__(name=name)
        self.order = tuple(tables)  # of the concatenation; tf.data hands dicts on with their keys sorted
        self.tables = {
            key: keras.layers.Embedding(rows, dim, name=f"{name}_{key}") for key, (rows, dim) in tables.items() if rows
        }
        for table in self.tables.values():
            table.build()
        self.dense = [
            keras.layers.Dense(
                width,
                activation="relu" if position < len(layers) - 1 else None,
                use_bias=position < len(layers) - 1 or name != "candidate",
                kernel_regularizer=keras.regularizers.L1(l1) if l1 else None,
                name=f"{name}_dense_{position}",
            )
            for position, width in enumerate(layers)
        ]

    def call(self, encoded: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """{feature key: int32 [B] or float32 [B, width]} to float32 [B, layers[-1]]."""
        parts = [self._looked_up(key, encoded[key]) if key in self.tables else encoded[key] for key in self.order]
        hidden = tf.concat(parts, axis=1)
        for layer in self.dense:
            hidden = layer(hidden)
        return hidden

    def _looked_up(self, key: str, rows: tf.Tensor) -> tf.Tensor:
        """What Keras's Embedding gives, without its copy of the whole table in every step."""
        looked_up = tf.nn.embedding_lookup(self.tables[key].embeddings.value, tf.cast(rows, tf.int32))
        return tf.cast(looked_up, self.compute_dtype)
