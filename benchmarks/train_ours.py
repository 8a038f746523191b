"""The Trainer as a contestant of `make bench-train`: its own model, batches and steps, without files and validation."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.common import example_set, schema, storage
from components.common import feature_config as fc
from components.common.vocabularies import read_vocabularies
from trainer_image import batches, cache, inputs, optimizer, steps
from trainer_image.batches import Sampler
from trainer_image.inputs import Purchases
from trainer_image.model import Encoders, TwoTower
from trainer_image.options import Options
from trainer_image.train import train

BATCH, LEARNING_RATE, L1 = 4096, 1e-3, 1e-6


class Data(NamedTuple):
    """A log, encoded: what models of it are built from, and its training purchases."""

    config: fc.FeatureConfig
    encoders: Encoders
    purchases: Purchases


class Contestant(NamedTuple):
    """A model, and what draws its batches and trains it."""

    model: TwoTower
    sampler: Sampler
    step: steps.Step


def train_on(log: str, output_path: str, **settings: Any) -> dict[str, Any]:
    """Runs the Trainer on a folder with examples/ and vocabularies.json; returns model_metadata.json."""
    options = Options(
        tfrecords_path=storage.join(log, "examples"),
        vocabularies_path=storage.join(log, "vocabularies.json"),
        metadata_path=storage.join(log, "examples", schema.METADATA),
        output_path=output_path,
        **settings,
    )
    return train(options)


def read(log: str, config: str = "feature_config.yaml") -> Data:
    """The training split of such a folder."""
    vocabularies = read_vocabularies(storage.join(log, "vocabularies.json"))
    products = schema.read_metadata(storage.join(log, "examples", schema.METADATA))["products"]
    loaded = fc.load(config)
    encoders = Encoders(loaded, vocabularies, products, {"vocabularies": log, "metadata": log})
    return Data(loaded, encoders, purchases(log, "train", encoders))


def purchases(log: str, split: str, encoders: Encoders) -> Purchases:
    """One split, encoded, in memory."""
    with cache.opened(8 << 30) as memory, example_set.opened(storage.join(log, "examples")) as examples:
        return inputs.load(examples.part(split), encoders.query, encoders.catalogue, memory)


def by_row(purchases: Purchases) -> Purchases:
    """The same purchases as queries of one each, as if no two rows were equal."""
    pair = np.repeat(np.arange(len(purchases.product)), purchases.times)
    query = purchases.pair_query()[pair]
    return Purchases(
        {key: column[query] for key, column in purchases.queries.items()},
        np.arange(len(pair) + 1),
        purchases.product[pair],
        np.ones(len(pair), np.int32),
    )


def build(
    data: Data,
    loss: str,
    adam: keras.optimizers.Optimizer,
    *,
    lazy: bool | None = None,
    jit_compile: bool = False,
    precision: str = "float32",
) -> Contestant:
    """The Trainer's model and steps, without files and validation.

    Args:
        data: From `read`.
        loss: full-catalogue or in-batch.
        adam: The optimizer.
        lazy: Update the customers' table by row, or not; by default the Trainer's own rule decides.
        jit_compile, precision: The Trainer's options.
    """
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    model = TwoTower(data.config, data.encoders, L1)
    keras.config.set_dtype_policy("float32")
    sampler = Sampler(data.purchases, loss, BATCH, 1, seed=1)
    tables = optimizer.lazy_tables(model, sampler)
    if lazy is not None:
        tables = [model.query_tower.tables[schema.CUSTOMER].embeddings] if lazy else []
    updates = optimizer.Updates(adam, model.weights, tables)
    counts = data.purchases.product_counts(len(model.catalogue))
    loss_of = steps.loss_function(loss, model, tf.constant(counts / counts.sum(), tf.float32), temperature=1.0)
    strategy = tf.distribute.get_strategy()
    step = steps.training_step(model, updates, loss_of, strategy, sampler.expected_rows, jit_compile=jit_compile)
    return Contestant(model, sampler, step)


def contestant(data: Data, loss: str, **settings: Any) -> Callable[[int], float]:
    """Returns a function that trains some steps further and returns examples a second: 4,096 a step.

    With the full-catalogue loss and equal queries that is what a step holds on average.

    Args:
        data: From `read`.
        loss: full-catalogue or in-batch.
        settings: More of `build`.
    """
    _, sampler, step = build(data, loss, keras.optimizers.Adam(LEARNING_RATE), **settings)
    done = 0

    def rate(count: int) -> float:
        nonlocal done
        first, done = done, done + count
        draw: Any = lambda start, number: sampler.draw(start, number, [0])  # noqa: E731
        with batches.prefetched(draw, first, done, per_epoch=1 << 40) as chunks:
            started = time.perf_counter()
            for chunk in chunks:
                step(chunk.shares, chunk.steps)
            return count * BATCH / (time.perf_counter() - started)

    rate(2 * batches.STEPS_PER_CALL)
    return rate


def distinct_products(data: Data) -> float:
    """How many distinct products an in-batch step of BATCH purchases embeds, on average over the first 32."""
    batch = Sampler(data.purchases, "in-batch", BATCH, 1, seed=1).draw(0, 32, [0])[0]
    return float((batch.candidate_count > 0).sum(axis=1).mean())
