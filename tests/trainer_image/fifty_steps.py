"""A program: trains fifty steps on the shop under whatever strategy there is and writes loss and weights.

python -m tests.trainer_image.fifty_steps DEVICES OPTIONS.json OUTPUT.npz
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from components.common import example_set, schema
from components.common import feature_config as fc
from components.common.vocabularies import read_vocabularies
from trainer_image import cache, inputs, steps, strategy
from trainer_image.batches import Sampler
from trainer_image.model import Encoders, TwoTower
from trainer_image.optimizer import Adam, Updates
from trainer_image.options import Options

STEPS, CALL, GLOBAL_BATCH = 50, 10, 96
EPSILON = 1e-4  # Adam's own, 1e-7, makes whole steps of gradients that are nothing but rounding, which replicas change
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.5),
    "adam": lambda: Adam(0.001, epsilon=EPSILON),
    "lazy": lambda: Adam(0.001, epsilon=EPSILON),
}
LOSSES = ("full-catalogue", "in-batch")


def trained(options: Options, loss: str, name: str, distribution: tf.distribute.Strategy) -> dict[str, np.ndarray]:
    keras.utils.set_random_seed(options.seed)
    vocabularies = read_vocabularies(options.vocabularies_path)
    products = schema.read_metadata(options.metadata_path)["products"]
    replicas = distribution.num_replicas_in_sync
    with distribution.scope(), cache.opened(1 << 30) as memory:
        config = fc.load(options.feature_config)
        encoders = Encoders(config, vocabularies, products, {"vocabularies": "", "metadata": ""})
        model = TwoTower(config, encoders, options.l1)
        with example_set.opened(options.tfrecords_path) as examples:
            data = inputs.load(examples.part("train"), model.query_encoder, model.catalogue, memory)
        sampler = Sampler(data, loss, GLOBAL_BATCH // replicas, replicas, options.seed)
        lazy = [model.query_tower.tables["cust_person_id"].embeddings] if name == "lazy" else []
        updates = Updates(OPTIMIZERS[name](), model.weights, lazy)
    shares = tf.constant(data.product_counts(len(model.catalogue)) / data.rows, tf.float32)
    loss_of = steps.loss_function(loss, model, shares, options.temperature)
    step = steps.training_step(model, updates, loss_of, distribution, sampler.expected_rows)
    mine = steps.local_replicas(distribution)
    losses = [step(sampler.draw(first, CALL, mine), CALL) for first in range(0, STEPS, CALL)]
    return {"loss": np.array(losses), **{f"weight-{i}": value for i, value in enumerate(model.get_values())}}


def main(devices: int, options: Options, output: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    distribution = strategy.choose(60)
    found = {}
    with strategy.closing(distribution):
        for loss in LOSSES:
            for name in OPTIMIZERS:
                for key, value in trained(options, loss, name, distribution).items():
                    found[f"{loss} {name} {key}"] = value
        if strategy.is_chief():
            found["replicas"] = np.array(distribution.num_replicas_in_sync)
            np.savez(output, allow_pickle=False, **found)


if __name__ == "__main__":
    with open(sys.argv[2], encoding="utf-8") as file:
        main(int(sys.argv[1]), Options(**json.load(file)), sys.argv[3])
