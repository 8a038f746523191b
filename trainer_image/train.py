"""Trains the two-tower model and writes `model/`. Read `train` first: it is the whole story."""

import tempfile
import time
from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from components.common import feature_config as fc
from components.common import schema, storage
from components.common.errors import InputError, expect_at_least, expect_choice
from components.common.vocabularies import purchases_of, read_vocabularies
from trainer_image import export, inputs, loop, optimizer, strategy
from trainer_image.describe import describe
from trainer_image.model import TwoTower
from trainer_image.progress import Progress

METADATA = "model_metadata.json"

Loss = Literal["auto", "full-catalogue", "in-batch"]
Scaling = Literal["sqrt", "linear", "none"]


def train(
    *,
    tfrecords_path: str,
    vocabularies_path: str,
    metadata_path: str,
    output_path: str,
    epochs: int = 150,
    batch_size: int = 4096,
    learning_rate: float = 0.001,
    lr_scaling: Scaling = "sqrt",
    warmup_steps: int = 1000,
    feature_config: str = "feature_config.yaml",
    loss: Loss = "auto",
    l1: float = 1e-6,
    patience: int = 10,
    top_k: int = 100,
    seed: int = 42,
) -> dict[str, Any]:
    """Trains a two-tower retrieval model and writes it as SavedModels.

    Args:
        tfrecords_path: Folder with train/, validation/ and test/, or a folder or glob of shards to split 80-15-5.
        vocabularies_path: vocabularies.json of the VocabBuilder.
        metadata_path: metadata.json of the DataExtractor, for the product lookup.
        output_path: Where model/ goes: saved_model/, query_model/, candidate_model/, logs/, model_metadata.json.
        epochs: Passes over the training rows, at most.
        batch_size: Rows a step, per replica.
        learning_rate: Of Adam, on one replica, after the warm-up.
        lr_scaling: How the learning rate grows with the number of replicas.
        warmup_steps: Steps over which the learning rate rises to its value.
        feature_config: Path to the feature config, or its YAML or JSON text.
        loss: Softmax over the full catalogue or in-batch; auto takes the cheaper one.
        l1: L1 penalty on the towers' Dense kernels.
        patience: Epochs without a better validation Recall@100 (a smaller k for small catalogues) before it stops.
        top_k: How many products saved_model returns.
        seed: Of the initial weights and of the order of the rows: the same seed gives the same model.

    Returns:
        model_metadata.json as a dict.

    Raises:
        InputError: for anything in the inputs that the user can put right; nothing is written.
    """
    started = time.time()
    expect_choice("--loss", loss, get_args(Loss))
    expect_choice("--lr-scaling", lr_scaling, get_args(Scaling))
    for flag, value, least in (
        ("--epochs", epochs, 1),
        ("--batch-size", batch_size, 1),
        ("--learning-rate", learning_rate, 0),
        ("--warmup-steps", warmup_steps, 0),
        ("--l1", l1, 0),
        ("--patience", patience, 1),
        ("--seed", seed, 0),
    ):
        expect_at_least(flag, value, least)
    storage.refuse_overwrite(output_path)
    config = fc.load(feature_config)
    vocabularies = read_vocabularies(vocabularies_path)
    products = schema.read_metadata(metadata_path)["products"]
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    distribution = strategy.choose()
    with distribution.scope():
        paths = {"vocabularies": vocabularies_path, "metadata": metadata_path}
        model = TwoTower(config, vocabularies, products, paths, l1)
        adam = optimizer.adam(learning_rate, lr_scaling, warmup_steps, distribution.num_replicas_in_sync)
        adam.build(model.weights)
    _expect_top_k(top_k, model)

    with storage.staged(tfrecords_path) as local:
        train_rows, validation_rows, test_rows = (
            inputs.load(local, split, model.query_encoder, model.catalogue) for split in schema.SPLITS
        )
    inputs.expect_known_products(train_rows, tfrecords_path)
    steps = inputs.steps_per_epoch(train_rows, batch_size, distribution.num_replicas_in_sync)
    batch_rows = batch_size * distribution.num_replicas_in_sync
    softmax = loop.choose_loss(loss, len(model.catalogue), batch_rows)
    purchases = purchases_of(vocabularies, vocabularies_path, model.catalogue)
    shares = tf.constant(purchases / purchases.sum(), tf.float32)
    step = loop.training_step(model, adam, loop.loss_function(softmax, model, shares), distribution, batch_size)
    iterator = iter(inputs.batches(train_rows, batch_size, epochs, seed, distribution))
    chance = loop.chance_loss(softmax, shares, train_rows.target, batch_rows, seed)

    # Every worker of a cluster takes part in saving, but only the chief's files are kept.
    publishing = storage.publish(output_path, METADATA) if strategy.is_chief() else tempfile.TemporaryDirectory()
    with publishing as folder:
        progress = Progress(epochs, steps, batch_rows, chance, storage.join(folder, "logs"))
        progress.header(model, train_rows, distribution.num_replicas_in_sync, softmax)
        best = loop.fit(model, step, iterator, validation_rows, progress, patience)
        export.write(folder, model, top_k)
        document = describe(
            model,
            config,
            products,
            hyperparameters={
                "epochs": epochs,
                "batch_size": batch_size,
                "replicas": distribution.num_replicas_in_sync,
                "learning_rate": learning_rate,
                "lr_scaling": lr_scaling,
                "warmup_steps": warmup_steps,
                "loss": softmax,
                "l1": l1,
                "patience": patience,
                "top_k": top_k,
                "seed": seed,
            },
            metrics={
                "best_epoch": best.epoch,
                "validation_metrics": _named("validation", loop.recall_at(model, validation_rows)),
                "test_metrics": _named("test", loop.recall_at(model, test_rows)),
            },
            training={
                "rows": len(train_rows.target),
                "chance_loss": progress.chance,
                "curve": progress.curve,
                "seconds": time.time() - started,
            },
        )
        storage.write_json(storage.join(folder, METADATA), document)
    return document


def _named(split: str, recalls: dict[int, float]) -> dict[str, float]:
    return {f"{split}_recall_{k}": value for k, value in recalls.items()}


def _expect_top_k(top_k: int, model: TwoTower) -> None:
    if not 1 <= top_k <= len(model.catalogue):
        expected = f"1 to {len(model.catalogue)}, the products of the catalogue"
        raise InputError("--top-k", str(top_k), expected, "Choose a k within the catalogue.")
