"""Trains the two-tower model and writes `model/`. Read `train` first: it is the whole story."""

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import keras
import numpy as np
import tensorflow as tf

from components.common import feature_config as fc
from components.common import ranking, schema, storage
from components.common.errors import InputError, expect_choice
from components.common.vocabularies import read_vocabularies
from trainer_image import export, inputs, losses, optimizer, strategy
from trainer_image.describe import describe
from trainer_image.inputs import Rows
from trainer_image.model import TwoTower
from trainer_image.progress import Progress

KS = (5, 10, 50, 100)
FULL_CATALOGUE_UP_TO = 1.4  # products per row of the global batch; from here on, in-batch steps were the faster ones
STEPS_PER_CALL = 16
METADATA = "model_metadata.json"

Loss = Literal["auto", "full-catalogue", "in-batch"]
Scaling = Literal["sqrt", "linear", "none"]

LossFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Step = Callable[[Any, tf.Tensor], tf.Tensor]


class Best(NamedTuple):
    """The best weights so far."""

    recall: float
    epoch: int
    values: list[np.ndarray]


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
        patience: Epochs without a better validation Recall@100 after which training stops.
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
    storage.refuse_overwrite(output_path, METADATA)
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
    steps = inputs.steps_per_epoch(train_rows, batch_size, distribution.num_replicas_in_sync)
    softmax = choose_loss(loss, len(model.catalogue), batch_size * distribution.num_replicas_in_sync)
    step = training_step(model, adam, loss_function(softmax, model, vocabularies), distribution, batch_size)
    iterator = iter(inputs.batches(train_rows, batch_size, epochs, seed, distribution))
    batch_rows = batch_size * distribution.num_replicas_in_sync

    with storage.publish(output_path, METADATA) as folder:
        progress = Progress(epochs, steps, batch_rows, len(model.catalogue), storage.join(folder, "logs"))
        progress.header(model, train_rows, distribution.num_replicas_in_sync, softmax)
        best = fit(model, step, iterator, validation_rows, progress, patience)
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
                "validation_metrics": _named("validation", recall_at(model, validation_rows)),
                "test_metrics": _named("test", recall_at(model, test_rows)),
            },
            training={
                "rows": len(train_rows.target),
                "chance_loss": progress.chance,
                "curve": progress.curve,
                "seconds": time.time() - started,
            },
        )
        if strategy.is_chief():
            storage.write_json(storage.join(folder, METADATA), document)
    return document


def fit(model: TwoTower, step: Step, iterator: Any, validation_rows: Rows, progress: Progress, patience: int) -> Best:
    """Trains until the epochs are over or validation Recall stops rising; leaves the best weights in the model."""
    best = Best(-1.0, 0, model.get_values())
    for epoch in range(1, progress.epochs + 1):
        loss = run_epoch(step, iterator, progress, epoch)
        recalls = recall_at(model, validation_rows)
        progress.epoch_done(epoch, loss, recalls)
        reached = recalls[max(recalls)]
        if reached > best.recall:
            best = Best(reached, epoch, model.get_values())
        elif epoch - best.epoch >= patience:
            break
    progress.close()
    model.set_values(best.values)
    return best


def choose_loss(loss: str, catalogue_size: int, global_batch: int) -> str:
    """The cheaper loss where the user left the choice."""
    if loss != "auto":
        return loss
    return "full-catalogue" if catalogue_size <= FULL_CATALOGUE_UP_TO * global_batch else "in-batch"


def loss_function(loss: str, model: TwoTower, vocabularies: dict[str, dict[str, Any]]) -> LossFunction:
    """The function of queries [B, D] and target [B] that training minimises, summed over B."""
    if loss == "full-catalogue":
        return lambda queries, target: losses.full_catalogue(
            queries, model.candidate_tower(model.encoded_catalogue), target
        )
    product = vocabularies[schema.PRODUCT]
    counts = dict(zip(product["tokens"], product["counts"], strict=True))
    bought = np.array([counts[token] for token in model.catalogue], np.float64)
    in_batch = losses.InBatch(tf.constant(bought / bought.sum(), tf.float32))

    def of_batch(queries: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        encoded = {key: tf.gather(value, target) for key, value in model.encoded_catalogue.items()}
        return in_batch(queries, model.candidate_tower(encoded), target)

    return of_batch


def training_step(
    model: TwoTower,
    adam: keras.optimizers.Optimizer,
    loss_of: LossFunction,
    distribution: tf.distribute.Strategy,
    batch_size: int,
) -> Step:
    """Returns a compiled function (iterator, steps) that trains and returns the mean loss per row.

    Every replica's loss is its sum over the global batch, so the summed gradients are those of one large batch.
    """
    replicas = distribution.num_replicas_in_sync

    def replica_step(query: dict[str, tf.Tensor], target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            data_loss = loss_of(model.query_tower(query), target) / (batch_size * replicas)
            penalty = tf.add_n([*model.query_tower.losses, *model.candidate_tower.losses, 0.0]) / replicas
            total = data_loss + penalty
        gradients = tape.gradient(total, [v.value for v in model.weights])
        adam.apply([optimizer.dense(gradient) for gradient in gradients], model.weights)
        return data_loss

    @tf.function
    def steps_of(iterator: Any, steps: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        for _ in tf.range(steps):
            query, target = next(iterator)
            per_replica = distribution.run(replica_step, args=(query, target))
            total += distribution.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return total / tf.cast(steps, tf.float32)

    return steps_of


def run_epoch(step: Step, iterator: Any, progress: Progress, epoch: int) -> float:
    """Trains one epoch; returns its mean loss per row.

    Raises:
        InputError: the loss is no longer a number.
    """
    total, done, steps = 0.0, 0, progress.steps
    while done < steps:
        chunk = min(STEPS_PER_CALL, steps - done)
        mean = float(step(iterator, tf.constant(chunk)))
        if not np.isfinite(mean):
            where = f"training loss in epoch {epoch}"
            raise InputError(where, str(mean), "a number", "Lower --learning-rate or lengthen --warmup-steps.")
        total, done = total + mean * chunk, done + chunk
        progress.steps_done(epoch, done, total / done)
    return total / steps


def recall_at(model: TwoTower, rows: Rows) -> dict[int, float]:
    """{k: Recall@k}, exact over the whole catalogue; k beyond its size is left out."""
    queries, index = inputs.unique_queries(rows)
    embedded = embed(model.query_tower, queries)
    candidates = model.candidate_tower(model.encoded_catalogue).numpy()
    scores = ranking.embedding_scores(embedded, candidates)
    better, tied = ranking.count_better(scores, index, rows.target, candidates=len(candidates))
    return {k: float(ranking.recall(better, tied, k).mean()) for k in KS if k <= len(candidates)}


def embed(tower: keras.Model, encoded: dict[str, np.ndarray], block: int = 8192) -> np.ndarray:
    """float32 [rows, D], in blocks of bounded memory."""
    rows = len(next(iter(encoded.values())))
    blocks = ({key: value[i : i + block] for key, value in encoded.items()} for i in range(0, rows, block))
    return np.concatenate([tower(part).numpy() for part in blocks])


def _named(split: str, recalls: dict[int, float]) -> dict[str, float]:
    return {f"{split}_recall_{k}": value for k, value in recalls.items()}


def _expect_top_k(top_k: int, model: TwoTower) -> None:
    if not 1 <= top_k <= len(model.catalogue):
        expected = f"1 to {len(model.catalogue)}, the products of the catalogue"
        raise InputError("--top-k", str(top_k), expected, "Choose a k within the catalogue.")
