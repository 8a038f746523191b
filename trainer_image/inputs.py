"""TFRecords to encoded rows in memory, and shuffled batches of them."""

import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.common import examples, schema, storage
from components.common.errors import InputError
from trainer_image.features import Encoder

SPLIT_PERCENT = {"train": (0, 80), "validation": (80, 95), "test": (95, 100)}


class Rows(NamedTuple):
    """Encoded purchases.

    Attributes:
        query: {feature key: int32 [R] or float32 [R, width]}.
        target: int32 [R], the product's index in the catalogue; -1 when it is not there.
    """

    query: dict[str, np.ndarray]
    target: np.ndarray


def load(tfrecords: str, split: str, encoder: Encoder, catalogue: list[str]) -> Rows:
    """Reads one split and encodes it.

    Args:
        tfrecords: A local folder with train/, validation/ and test/, or a folder or glob of shards that are split
            here 80-15-5 by a stable hash of customer, product and time.
        split: One of schema.SPLITS.
        encoder: The query tower's.
        catalogue: Product ids in index order.

    Raises:
        InputError: no shards, an empty split, damaged files, or columns missing.
    """
    files, is_split = find(tfrecords, split)
    columns = {**encoder.columns, schema.PRODUCT: "int64"}
    if not is_split:
        columns |= {schema.CUSTOMER: "string", schema.TIMESTAMP: "int64"}
    index = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant([int(product) for product in catalogue], tf.int64), tf.range(len(catalogue), dtype=tf.int32)
        ),
        default_value=-1,
    )

    def encode(raw: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        if not is_split:
            kept = _belongs(raw, split)
            raw = {name: tf.boolean_mask(column, kept) for name, column in raw.items()}
        return encoder(raw), index.lookup(raw[schema.PRODUCT])

    with examples.explained(files, columns):
        parts = list(examples.dataset(files, columns).map(encode, num_parallel_calls=2).as_numpy_iterator())
    if not sum(len(target) for _, target in parts):
        raise InputError(tfrecords, f"no rows in the {split} split", "at least one", "Extract more data.")
    query = {key: np.concatenate([part[key] for part, _ in parts]) for key in parts[0][0]}
    return _in_canonical_order(Rows(query, np.concatenate([target for _, target in parts])))


def find(tfrecords: str, split: str) -> tuple[list[str], bool]:
    """The files that hold a split, and whether they hold nothing else."""
    if os.path.isdir(os.path.join(tfrecords, split)):
        return examples.shards(os.path.join(tfrecords, split)), True
    if os.path.isdir(tfrecords):
        return examples.shards(tfrecords), False
    files = storage.list_files(tfrecords)
    if not files:
        remedy = "Check --tfrecords-path, or run the DataExtractor."
        raise InputError(tfrecords, "no files", "a folder or glob of TFRecord shards", remedy)
    return files, False


def _belongs(raw: dict[str, tf.Tensor], split: str) -> tf.Tensor:
    key = [raw[schema.CUSTOMER], tf.strings.as_string(raw[schema.PRODUCT]), tf.strings.as_string(raw[schema.TIMESTAMP])]
    bucket = tf.strings.to_hash_bucket_fast(tf.strings.join(key, "\x1f"), 100)
    low, high = SPLIT_PERCENT[split]
    return (bucket >= low) & (bucket < high)


def _in_canonical_order(rows: Rows) -> Rows:
    """Sorts by content, so that the model does not depend on how the rows were sharded."""
    keys = [rows.target, *(column for value in rows.query.values() for column in np.atleast_2d(value.T))]
    order = np.lexsort(keys)
    return Rows({key: value[order] for key, value in rows.query.items()}, rows.target[order])


def expect_known_products(rows: Rows, path: str) -> None:
    """Raises InputError where training rows buy products that the vocabulary or the product lookup lacks."""
    unknown = int((rows.target < 0).sum())
    if unknown:
        found = f"{unknown} of {len(rows.target)} training rows with a product that is not in the catalogue"
        remedy = "Run the VocabBuilder on these examples and use their own metadata.json."
        raise InputError(path, found, "products of the vocabulary and of metadata.json", remedy)


def unique_queries(rows: Rows) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The distinct queries, and for each row the index of its query: what is equal is embedded once."""
    flat = np.column_stack([value.astype(np.float64) for value in rows.query.values()])
    records = np.ascontiguousarray(flat).view(f"V{flat.shape[1] * 8}").ravel()
    _, first, inverse = np.unique(records, return_index=True, return_inverse=True)
    return {key: value[first] for key, value in rows.query.items()}, inverse


def batches(
    rows: Rows, batch_size: int, epochs: int, seed: int, strategy: tf.distribute.Strategy
) -> tf.distribute.DistributedDataset:
    """All batches of all epochs, each epoch in its own order, which depends on the seed and the epoch alone.

    A global step takes batch_size rows for every replica; the rows left at the end of an epoch are dropped, other
    ones every time.

    Args:
        rows: The training rows.
        batch_size: Rows per replica.
        epochs: How often to pass over the rows.
        seed: Of the order.
        strategy: Decides how many replicas and workers share a step.

    Returns:
        A distributed dataset of ({feature key: [batch_size, ...]}, int32 [batch_size]).
    """
    columns = {key: tf.constant(value) for key, value in rows.query.items()}
    target = tf.constant(rows.target)
    steps = steps_per_epoch(rows, batch_size, strategy.num_replicas_in_sync)

    def per_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        workers = context.num_input_pipelines
        shape = [steps, workers, context.num_replicas_in_sync // workers, batch_size]

        def epoch_order(epoch: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(tf.range(len(rows.target)), [seed, epoch])
            mine = tf.reshape(order[: np.prod(shape)], shape)[:, context.input_pipeline_id]
            return tf.data.Dataset.from_tensor_slices(tf.reshape(mine, [-1, batch_size]))

        def gather(chosen: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            return {key: tf.gather(value, chosen) for key, value in columns.items()}, tf.gather(target, chosen)

        return tf.data.Dataset.range(epochs).flat_map(epoch_order).map(gather).prefetch(4)

    return strategy.distribute_datasets_from_function(per_worker)


def steps_per_epoch(rows: Rows, batch_size: int, replicas: int) -> int:
    """Whole global batches in the rows.

    Raises:
        InputError: not even one.
    """
    steps = len(rows.target) // (batch_size * replicas)
    if not steps:
        found = f"{batch_size} rows a replica, {replicas} replicas"
        expected = f"at most the {len(rows.target)} training rows in all"
        raise InputError("--batch-size", found, expected, "Choose a smaller batch.")
    return steps
