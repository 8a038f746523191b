"""Trains the two-tower model and writes `model/`. Read `train` first: it is the whole story."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from trainer_image import keras_alone  # noqa: F401  before anything else imports Keras

# isort: split
from components.common import checksums, claims, example_set, lineage, outputs, schema, storage, value_counts
from components.common import feature_config as fc
from components.common import vocabularies as words
from components.common.errors import InputError
from components.common.example_set import ExampleSet
from components.common.saved_models import METADATA
from trainer_image import (
    ablation,
    cache,
    cost,
    export,
    history,
    inputs,
    machine,
    past,
    preemption,
    preflight,
    refit,
    strategy,
    validation,
    weights,
)
from trainer_image.checkpoint import LOGS, Checkpoints
from trainer_image.describe import describe
from trainer_image.features import CUSTOMERS
from trainer_image.fit import Features, Fit, Given, fitted, sampler_of, set_up
from trainer_image.inputs import Purchases
from trainer_image.model import Encoders, TwoTower
from trainer_image.options import Options

GIB = 1 << 30


def train(options: Options, *, again: bool = False) -> dict[str, Any]:
    """Trains a two-tower retrieval model and writes it as SavedModels; a run that was ended continues.

    Args:
        options: See there.
        again: Where output_path holds a finished model, write a further one into a folder of it (see `outputs`).

    Returns:
        model_metadata.json as a dict.

    Raises:
        InputError: for anything in the inputs that the user can put right; nothing is written.
        Preempted: SIGTERM came; a checkpoint was written.
    """
    options.check()
    with _claimed(options, again):
        return _train(options, again)


@contextlib.contextmanager
def _claimed(options: Options, again: bool) -> Iterator[None]:
    """Keeps others away from the output and the checkpoints; of a cluster's workers the chief does it for all."""
    if not strategy.is_chief():
        outputs.refuse_overwrite(options.output_path, METADATA, again)
        with claims.explained_disk(options.output_path):
            yield
        return
    with contextlib.ExitStack() as stack:
        is_free = not outputs.is_finished(options.output_path, METADATA)
        stack.enter_context(claims.claimed(options.output_path, is_free, may_be_there=again and not is_free))
        if not storage.is_remote(options.checkpoints):
            stack.enter_context(claims.held(options.checkpoints))
        yield


def _train(options: Options, again: bool) -> dict[str, Any]:
    """What `train` says, its output claimed."""
    config = fc.load(options.feature_config)
    reduced = ablation.without_metadata(options, config) if options.ablate else None
    of_train = words.read(options.vocabularies_path)
    listed = example_set.find(options.tfrecords_path, options.metadata_path)
    of_train.expect_of(listed.metadata.fingerprint, options.tfrecords_path, options.mix)
    set_up(options)
    distribution = strategy.choose(options.cluster_timeout)

    with contextlib.ExitStack() as stack:
        stack.enter_context(strategy.closing(distribution))
        is_preempted = stack.enter_context(preemption.watched())
        memory = stack.enter_context(cache.opened(int(options.cache_gib * GIB)))
        with listed.opened() as examples:
            of_train.expect_of(examples.fingerprint, options.tfrecords_path, options.mix)
            made_from = lineage.made_from(examples=examples.fingerprint, vocabularies=of_train.fingerprint)
            vocabularies = of_train.completed(examples.part("train"), value_counts.columns_of(config)).features
            products = examples.products(config.candidate.columns)
            paths = {"vocabularies": options.vocabularies_path, "metadata": examples.lookup}
            features = Features(config, Encoders(config, vocabularies, products, paths))
            _expect_products(options, len(features.encoders.catalogue))
            if history.KEY in features.encoders.query.widths:
                # Whatever the model is to know of them in the end, so that validation is of the same queries.
                later = examples.part("validation")
                vocabularies = past.with_customers(vocabularies, options.vocabularies_path, later)
                features = Features(config, Encoders(config, vocabularies, products, paths))
            purchases = _read(options, examples, features.encoders, memory)
            known, latest = _histories(options, examples, features.encoders, vocabularies, purchases["train"], memory)
        loss = _loss(options, features, purchases["train"], distribution.num_replicas_in_sync)
        given = Given(purchases, products, loss, distribution, is_preempted, known, latest)
        both = refit.given(given, features.encoders, options.tfrecords_path, memory) if options.refit else None
        _expect_fits(options, features, given, memory)
        if both:
            _expect_fits(options, features, both, memory, quiet=True)

        checkpoints = Checkpoints(options.checkpoints, options.checkpoint_minutes)
        if strategy.is_chief():
            stack.callback(checkpoints.remove_if_empty)
        logs = storage.join(_local(options.checkpoints, stack), LOGS)
        fit = fitted(options, features, given, checkpoints, logs)
        metrics = {"validation_metrics": _recalls(fit.model, purchases, "validation")}
        model, extra = fit.model, dict[str, Any]()
        if both:
            for split in schema.splits_through(refit.THROUGH):
                _release(purchases.pop(split), memory)
            refitted = refit.refitted(options, features, both, fit, logs)
            model, extra["refit"] = refitted.model, {"through": refit.THROUGH, **refitted.training}
        if latest:  # from here on it knows what was bought in validation
            model.know(latest)
            extra["history"] = {"through": options.history_through, "purchases": len(latest.place)}
        if reduced:
            bare = Features(reduced, Encoders(reduced, vocabularies, products, paths))
            given = given._replace(warmup=fit.warmup)
            extra["metadata_impact"] = ablation.impact(options, features, bare, given, model)
        metrics["test_metrics"] = _recalls(model, purchases, "test")
        document = {**_describe(options, config, given, fit._replace(model=model), metrics), **extra, **made_from}
        _publish(options, model, document, logs, again)
        if strategy.is_chief():
            checkpoints.remove()
    return document


def _read(options: Options, examples: ExampleSet, encoders: Encoders, memory: cache.Cache) -> dict[str, Purchases]:
    """All three splits, encoded."""
    purchases = {
        split: inputs.load(
            examples.part(split),
            encoders.query,
            encoders.catalogue,
            memory,
            by_buyer=options.ablate and split == ablation.SPLIT,
        )
        for split in schema.SPLITS
    }
    inputs.expect_known_products(purchases["train"], options.tfrecords_path)
    return purchases


def _histories(
    options: Options,
    examples: ExampleSet,
    encoders: Encoders,
    vocabularies: dict[str, dict[str, Any]],
    bought: Purchases,
    memory: cache.Cache,
) -> tuple[history.History, history.History] | tuple[None, None]:
    """What the customers bought in training, and what the finished model knows; where the query tower reads it."""
    if history.KEY not in encoders.query.widths:
        return None, None
    past.expect_one_query_each(bought, options.tfrecords_path)
    customers = len(vocabularies[CUSTOMERS]["tokens"])
    splits = schema.splits_through(options.history_through)
    rows = [past.read(examples.part(split), encoders.query, encoders.catalogue, memory) for split in splits]
    bought_in_training = past.history(rows[:1], customers, examples.metadata.method)
    latest = past.history(rows, customers, examples.metadata.method) if len(rows) > 1 else bought_in_training
    for column in (column for part in rows for column in part):
        memory.release(column)
    return bought_in_training, latest


def _release(purchases: Purchases, memory: cache.Cache) -> None:
    """Gives the memory of a split back, which nobody reads any more."""
    for column in (*purchases.queries.values(), purchases.product, purchases.times):
        memory.release(column)


def _loss(options: Options, features: Features, purchases: Purchases, replicas: int) -> str:
    """The loss that was asked for, or the cheaper one; with a history it is always over the full catalogue."""
    config, encoders = features
    if history.KEY in encoders.query.widths:
        for flag, refused, expected in (
            ("--loss in-batch", options.loss == "in-batch", "full-catalogue or auto: products are hidden among all"),
            ("--jit-compile", options.jit_compile, "no XLA, which lacks the sparse product that pools a history"),
        ):
            if refused:
                remedy = "Leave it out, or take the feature of kind history out of the feature config."
                raise InputError(flag, "a feature config with a history", expected, remedy)
        return "full-catalogue"
    if options.loss != "auto":
        return options.loss
    return cost.cheaper_loss(
        cost.shape_of(config, encoders), purchases, len(encoders.catalogue), options.batch_size * replicas
    )


def _expect_fits(
    options: Options, features: Features, given: Given, memory: cache.Cache, *, quiet: bool = False
) -> None:
    """Says what is about to be trained, and raises InputError where memory is too small for it."""
    config, encoders = features
    sampler = sampler_of(options, given)
    plan = preflight.plan(
        config,
        encoders,
        loss=given.loss,
        devices=machine.local_devices(),
        replicas=given.replicas,
        batch_size=options.batch_size,
        queries=sampler.per_replica,
        candidates=sampler.candidates_seen(len(encoders.catalogue)),
        rows=given.purchases["train"].rows,
        steps=sampler.steps_per_epoch,
        cached_bytes=memory.in_memory,
        ablated=options.ablate,
    )
    if strategy.is_chief() and not quiet:
        print(preflight.describe(plan), flush=True)
    preflight.expect_fits(plan)


def _local(folder: str, stack: contextlib.ExitStack) -> str:
    """The folder, or a temporary one in place of a remote one."""
    return stack.enter_context(tempfile.TemporaryDirectory()) if storage.is_remote(folder) else folder


def _describe(
    options: Options, config: fc.FeatureConfig, given: Given, fit: Fit, metrics: dict[str, Any]
) -> dict[str, Any]:
    """model_metadata.json of the trained model."""
    return describe(
        fit.model,
        config,
        given.products,
        hyperparameters={
            **options.hyperparameters,
            "warmup_steps_in_force": fit.warmup,
            "loss": given.loss,
            "replicas": given.replicas,
        },
        metrics={"best_epoch": fit.best_epoch, **metrics},
        training=fit.training,
    )


def _recalls(model: TwoTower, purchases: dict[str, Purchases], split: str) -> dict[str, float]:
    return {f"{split}_recall_{k}": value for k, value in validation.validate(model, purchases[split]).recalls.items()}


def _publish(options: Options, model: TwoTower, document: dict[str, Any], logs: str, again: bool) -> None:
    """Writes model/. Every worker takes part in saving, but only the chief's files are kept."""
    chief = strategy.is_chief()
    publishing = outputs.published(options.output_path, METADATA, again) if chief else tempfile.TemporaryDirectory()
    with publishing as folder:
        export.write(folder, model, options.top_k)
        weights.save(folder, model)
        if chief:
            document["files"] = checksums.of(folder)
            document.update(lineage.sealed(document))
            shutil.copytree(logs, storage.join(folder, LOGS))
        storage.write_json(storage.join(folder, METADATA), document)


def _expect_products(options: Options, products: int) -> None:
    """Raises InputError where the catalogue is too small for what was asked."""
    if options.top_k > products:
        expected = f"1 to {products}, the products of the catalogue"
        raise InputError("--top-k", str(options.top_k), expected, "Choose a k within the catalogue.")
    if options.ablate:
        ablation.expect_products(products)
