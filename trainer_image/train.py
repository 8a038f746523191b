"""Trains the two-tower model and writes `model/`. Read `train` first: it is the whole story."""

import contextlib
import shutil
import tempfile
from typing import Any

import keras
import tensorflow as tf

from components.common import feature_config as fc
from components.common import schema, staging, storage
from components.common.errors import InputError
from components.common.vocabularies import read_vocabularies
from trainer_image import (
    cache,
    cost,
    export,
    inputs,
    loop,
    machine,
    optimizer,
    preemption,
    preflight,
    resume,
    steps,
    strategy,
    validation,
    warm_start,
    weights,
)
from trainer_image.batches import Sampler, steps_per_epoch
from trainer_image.checkpoint import LOGS, Checkpoints
from trainer_image.describe import describe
from trainer_image.inputs import Purchases
from trainer_image.model import Encoders, TwoTower
from trainer_image.options import Options
from trainer_image.progress import Progress

METADATA = "model_metadata.json"
GIB = 1 << 30


def train(options: Options) -> dict[str, Any]:
    """Trains a two-tower retrieval model and writes it as SavedModels.

    A run that was ended continues when the same command is run again. SIGTERM writes a checkpoint first and ends with
    exit code 75.

    Args:
        options: See there.

    Returns:
        model_metadata.json as a dict.

    Raises:
        InputError: for anything in the inputs that the user can put right; nothing is written.
        Preempted: SIGTERM came; a checkpoint was written.
    """
    options.check()
    storage.refuse_overwrite(options.output_path)
    config = fc.load(options.feature_config)
    vocabularies = read_vocabularies(options.vocabularies_path)
    products = schema.read_metadata(options.metadata_path)["products"]
    _set_up(options)
    distribution = strategy.choose(options.cluster_timeout)
    replicas = distribution.num_replicas_in_sync
    batch_rows = options.batch_size * replicas

    with contextlib.ExitStack() as stack:
        stack.enter_context(strategy.closing(distribution))
        is_preempted = stack.enter_context(preemption.watched())
        memory = stack.enter_context(cache.opened(int(options.cache_gib * GIB)))
        paths = {"vocabularies": options.vocabularies_path, "metadata": options.metadata_path}
        encoders = Encoders(config, vocabularies, products, paths)
        _expect_top_k(options.top_k, len(encoders.catalogue))
        purchases = _read(options, encoders, memory)
        bought = purchases["train"].product_counts(len(encoders.catalogue))
        shares = bought / bought.sum()
        shape = cost.shape_of(config, encoders)
        loss: str = options.loss
        if loss == "auto":
            loss = cost.cheaper_loss(shape, purchases["train"], len(encoders.catalogue), batch_rows)
        sampler = Sampler(purchases["train"], loss, options.batch_size, replicas, options.seed)
        plan = preflight.plan(
            config,
            encoders,
            loss=loss,
            devices=machine.local_devices(),
            replicas=replicas,
            batch_size=options.batch_size,
            queries=sampler.per_replica,
            candidates=sampler.candidates_seen(len(encoders.catalogue)),
            rows=purchases["train"].rows,
            cached_bytes=memory.in_memory,
        )
        if strategy.is_chief():
            print(preflight.describe(plan), flush=True)
        preflight.expect_fits(plan)

        with distribution.scope():
            model = TwoTower(config, encoders, options.l1)
            adam = optimizer.adam(options.learning_rate, options.lr_scaling, options.warmup_steps, replicas)
            updates = optimizer.Updates(adam, model.weights, optimizer.lazy_tables(model, sampler))
        loss_of = steps.loss_function(loss, model, tf.constant(shares, tf.float32), options.temperature)
        step = steps.training_step(
            model, updates, loss_of, distribution, sampler.expected_rows, jit_compile=options.jit_compile
        )

        checkpoints = Checkpoints(options.checkpoints, options.checkpoint_minutes)
        if strategy.is_chief():
            stack.callback(checkpoints.remove_if_empty)
        identity = resume.identity(options, config, loss, replicas, purchases["train"], encoders.catalogue)
        state = resume.restored(checkpoints, model, updates, identity, distribution)
        if state.step:
            beginning = f"continuing after step {state.step:,}, from {options.checkpoints}"
        elif options.warm_start_from:
            beginning = warm_start.describe(warm_start.apply(options.warm_start_from, model, products))
        else:
            beginning = "beginning with random weights"
        logs = storage.join(_local(options.checkpoints, stack), LOGS)
        progress = stack.enter_context(
            Progress(
                epochs=options.epochs,
                steps=steps_per_epoch(purchases["train"].rows, options.batch_size, replicas),
                batch_rows=batch_rows,
                chance=cost.chance_loss(loss, shares, batch_rows),
                logs=logs,
                curve=state.curve,
                seconds=state.seconds,
                quiet=not strategy.is_chief(),
            )
        )
        progress.say(beginning)
        loop.fit(
            loop.Run(
                model=model,
                updates=updates,
                step=step,
                sampler=sampler,
                distribution=distribution,
                validation=validation.sampled(purchases["validation"], len(encoders.catalogue), options.seed),
                progress=progress,
                checkpoints=checkpoints,
                identity=identity,
                epochs=options.epochs,
                patience=options.patience,
                is_preempted=is_preempted,
            ),
            state,
        )

        if options.precision != "float32":
            keras.config.set_dtype_policy("float32")
            trained, model = model, TwoTower(config, encoders, options.l1)
            model.set_values(trained.get_values())
        document = describe(
            model,
            config,
            products,
            hyperparameters={**options.hyperparameters, "loss": loss, "replicas": replicas},
            metrics={
                "best_epoch": state.best_epoch,
                **{f"{split}_metrics": _recalls(model, purchases[split], split) for split in ("validation", "test")},
            },
            training={
                "rows": purchases["train"].rows,
                "queries": purchases["train"].groups,
                "steps": state.step,
                "rows_per_step": sampler.expected_rows,
                "chance_loss": progress.chance,
                "curve": state.curve,
                "seconds": progress.seconds,
            },
        )
        _publish(options, model, document, logs)
        if strategy.is_chief():
            checkpoints.remove()
    return document


def _set_up(options: Options) -> None:
    """Seeds, precision and determinism of this process, before anything is built."""
    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if options.precision == "bfloat16" else "float32")
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()  # on GPUs it would cost much of the speed


def _read(options: Options, encoders: Encoders, memory: cache.Cache) -> dict[str, Purchases]:
    """All three splits, encoded."""
    with staging.staged(options.tfrecords_path) as local:
        purchases = {
            split: inputs.load(local, split, encoders.query, encoders.catalogue, memory) for split in schema.SPLITS
        }
    inputs.expect_known_products(purchases["train"], options.tfrecords_path)
    return purchases


def _local(folder: str, stack: contextlib.ExitStack) -> str:
    """The folder, or a temporary one in place of a remote one."""
    return stack.enter_context(tempfile.TemporaryDirectory()) if storage.is_remote(folder) else folder


def _recalls(model: TwoTower, purchases: Purchases, split: str) -> dict[str, float]:
    return {f"{split}_recall_{k}": value for k, value in validation.validate(model, purchases).recalls.items()}


def _publish(options: Options, model: TwoTower, document: dict[str, Any], logs: str) -> None:
    """Writes model/. Every worker takes part in saving, but only the chief's files are kept."""
    chief = strategy.is_chief()
    publishing = storage.publish(options.output_path, METADATA) if chief else tempfile.TemporaryDirectory()
    with publishing as folder:
        export.write(folder, model, options.top_k)
        weights.save(folder, model)
        if chief:
            shutil.copytree(logs, storage.join(folder, LOGS))
        storage.write_json(storage.join(folder, METADATA), document)


def _expect_top_k(top_k: int, products: int) -> None:
    if top_k > products:
        expected = f"1 to {products}, the products of the catalogue"
        raise InputError("--top-k", str(top_k), expected, "Choose a k within the catalogue.")
