"""Which split a row is of where nobody split the shards: 80-15-5, by a stable hash of customer, product and time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.common import schema

if TYPE_CHECKING:
    import tensorflow as tf

PERCENT = {"train": (0, 80), "validation": (80, 95), "test": (95, 100)}
KEY = {schema.CUSTOMER: "string", schema.PRODUCT: "int64", schema.TIMESTAMP: "int64"}
METHOD = "random"


def belongs(raw: Mapping[str, "tf.Tensor"], split: str) -> "tf.Tensor":
    """bool [B]: the rows that are of a split. Needs the columns of KEY.

    The hash is TensorFlow's, which stays the same from version to version, and so must what it is taken of: models
    that were trained on such shards are evaluated on the rows that it kept from them.
    """
    from components.common.bare_tensorflow import tf

    key = [raw[schema.CUSTOMER], tf.strings.as_string(raw[schema.PRODUCT]), tf.strings.as_string(raw[schema.TIMESTAMP])]
    bucket = tf.strings.to_hash_bucket_fast(tf.strings.join(key, "\x1f"), 100)
    low, high = PERCENT[split]
    return (bucket >= low) & (bucket < high)
