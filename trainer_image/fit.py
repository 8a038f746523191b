"""One training: encoded purchases and a feature config in, the best weights out."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.common import feature_config as fc
from trainer_image import history, loop, optimizer, repeats_fit, resume, steps, strategy, validation, warm_start
from trainer_image.batches import Sampler, expect_a_batch
from trainer_image.checkpoint import Checkpoints
from trainer_image.history import History
from trainer_image.inputs import Purchases
from trainer_image.model import Encoders, TwoTower
from trainer_image.options import Options
from trainer_image.progress import Progress
from trainer_image.state import State


class Given(NamedTuple):
    """What all trainings of a run have in common, whatever their seeds and features.

    Attributes:
        purchases: {split: purchases}, encoded.
        products: The product lookup of metadata.json.
        loss: "full-catalogue" or "in-batch".
        distribution: The strategy of this process.
        is_preempted: Whether this process was asked to stop.
        history: What the customers bought in training, where the query tower reads it.
        latest: What the finished model knows that they bought.
        warmup: Steps of the warm-up, where an earlier training of the run has it; by default what the options say.
    """

    purchases: dict[str, Purchases]
    products: dict[str, dict[str, Any]]
    loss: str
    distribution: tf.distribute.Strategy
    is_preempted: Callable[[], bool]
    history: History | None = None
    latest: History | None = None
    warmup: int | None = None

    @property
    def replicas(self) -> int:
        return int(self.distribution.num_replicas_in_sync)


class Features(NamedTuple):
    """What the towers see: the feature config, and the encoders that were built from it."""

    config: fc.FeatureConfig
    encoders: Encoders


class Fit(NamedTuple):
    """A finished training.

    Attributes:
        model: With the weights of the best epoch, in float32.
        best_epoch: Which that was.
        warmup: Steps of the warm-up.
        training: What model_metadata.json says of it under "training".
    """

    model: TwoTower
    best_epoch: int
    warmup: int
    training: dict[str, Any]


def set_up(options: Options) -> None:
    """Seeds, precision and determinism of this process; the first time before TensorFlow touches a device."""
    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if options.precision == "bfloat16" else "float32")
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()  # on GPUs it would cost much of the speed


def sampler_of(options: Options, given: Given) -> Sampler:
    """What draws the batches of a training with these options.

    Raises:
        InputError: there are fewer rows than a step takes.
    """
    expect_a_batch(given.purchases["train"].rows, options.batch_size, given.replicas)
    return Sampler(given.purchases["train"], given.loss, options.batch_size, given.replicas, options.seed)


def fitted(
    options: Options,
    features: Features,
    given: Given,
    checkpoints: Checkpoints,
    logs: str,
    repeats_epochs: int = repeats_fit.EPOCHS,
) -> Fit:
    """Trains a model, or goes on training it where its checkpoints say that an earlier run ended.

    Args:
        options: Its seed, batches, learning rate and so on, for which the process was set up.
        features: What the towers see.
        given: See there; without a validation split all epochs are trained, and the last weights are the best.
        checkpoints: Of this training alone. Where they say that it was over, no step is repeated.
        logs: Local folder for TensorBoard and the CSV log.
        repeats_epochs: Of the term of the customer's own products, at most.

    Raises:
        InputError: the training diverged, or the checkpoints are another one's.
        Preempted: SIGTERM came; a checkpoint was written.
    """
    catalogue, bought = features.encoders.catalogue, given.purchases["train"]
    sampler = sampler_of(options, given)
    shares = bought.product_counts(len(catalogue)) / bought.rows  # all products are known, `train` has seen to that
    each, saved = sampler.steps_per_epoch, checkpoints.newest()
    in_force = given.warmup
    if in_force is None:
        in_force = optimizer.warmup_in_force(options.warmup_steps, options.epochs * each)
    warmup = resume.warmup(saved, options.warmup_steps, in_force)
    model, updates, step = _built(options, features, given, sampler, shares, warmup)
    identity = resume.identity(options, features.config, given.loss, given.replicas, bought, catalogue, each)
    state = resume.restored(saved, model, updates, identity, checkpoints.folder, given.distribution)
    state.warmup = warmup
    held_out = None
    if "validation" in given.purchases:
        held_out = validation.sampled(given.purchases["validation"], len(catalogue), options.seed)
    beginning = _begin(options, model, state, given.products, checkpoints.folder)
    with _progress(options, given, sampler, state, logs) as progress:
        progress.say(beginning)
        progress.say(_schedule(options, given, warmup, each))
        loop.fit(
            loop.Run(
                model=model,
                updates=updates,
                step=step,
                sampler=sampler,
                distribution=given.distribution,
                validation=held_out,
                progress=progress,
                checkpoints=checkpoints,
                identity=identity,
                epochs=options.epochs,
                patience=options.patience,
                saves_end=options.ablate or options.refit,
                is_preempted=given.is_preempted,
            ),
            state,
        )
    let_go(updates.variables, given.distribution)
    model = _in_float32(options, features, given, model)
    repeated = {}
    if given.history:
        repeated["repeats"] = repeats_fit.fit(
            model, given.history, bought, held_out, options.seed, repeats_epochs, progress.say
        )
    training = {
        "rows": bought.rows,
        "queries": bought.groups,
        "steps": state.step,
        "rows_per_step": sampler.expected_rows,
        "chance_loss": state.curve[-1]["chance"],
        "curve": state.curve,
        "seconds": progress.seconds,
        **repeated,
    }
    return Fit(model, state.best_epoch, warmup, training)


def _built(
    options: Options, features: Features, given: Given, sampler: Sampler, shares: np.ndarray, warmup: int
) -> tuple[TwoTower, optimizer.Updates, steps.Step]:
    """The model with random weights, its optimizer, and the step that trains it."""
    with given.distribution.scope():
        model = TwoTower(features.config, features.encoders, options.l1)
        model.history = given.history
        adam = optimizer.adam(options.learning_rate, options.lr_scaling, warmup, given.replicas)
        updates = optimizer.Updates(adam, model.weights, optimizer.lazy_tables(model, sampler))
    loss_of = steps.loss_function(
        given.loss, model, tf.constant(shares, tf.float32), options.temperature, adam.iterations, options.seed
    )
    expected = sampler.expected_rows
    if model.has_history:
        expected = history.expected_targets(given.purchases["train"], sampler.per_step)
    step = steps.training_step(model, updates, loss_of, given.distribution, expected, jit_compile=options.jit_compile)
    return model, updates, step


def _progress(options: Options, given: Given, sampler: Sampler, state: State, logs: str) -> Progress:
    return Progress(
        epochs=options.epochs,
        steps=sampler.steps_per_epoch,
        rows=given.purchases["train"].rows,
        warm=loop.warm_epochs(state.warmup, sampler.steps_per_epoch),
        logs=logs,
        curve=state.curve,
        seconds=state.seconds,
        quiet=not strategy.is_chief(),
    )


def _begin(options: Options, model: TwoTower, state: State, products: dict[str, dict[str, Any]], folder: str) -> str:
    """Carries an earlier model's weights over where there are any to begin with; says how the training begins."""
    if state.step:
        return f"continuing after step {state.step:,}, from {folder}"
    if options.warm_start_from:
        return warm_start.describe(warm_start.apply(options.warm_start_from, model, products))
    return "beginning with random weights"


def _schedule(options: Options, given: Given, warmup: int, steps_per_epoch: int) -> str:
    """What is in force of the warm-up and of patience, in words."""
    steps = options.epochs * steps_per_epoch
    words = f"{options.epochs:,} epochs of {steps_per_epoch:,} steps: {steps:,} at most; warm-up over {warmup:,} steps"
    if warmup != options.warmup_steps:
        why = "a tenth of them" if warmup == optimizer.warmup_in_force(options.warmup_steps, steps) else "as it began"
        words += f", not {options.warmup_steps:,}: {why}"
    if "validation" in given.purchases:
        words += f"; patience {options.patience} counts from epoch {loop.warm_epochs(warmup, steps_per_epoch) + 1}"
    return words


def _in_float32(options: Options, features: Features, given: Given, model: TwoTower) -> TwoTower:
    """The same weights, for arithmetic in float32 from here on."""
    if options.precision == "float32":
        return model
    keras.config.set_dtype_policy("float32")
    exact = TwoTower(features.config, features.encoders, options.l1)
    exact.history = model.history
    exact.set_values(model.get_values())
    let_go(model.weights, given.distribution)
    return exact


def let_go(variables: Iterable[keras.Variable | tf.Variable], distribution: tf.distribute.Strategy) -> None:
    """Frees the values of variables that nobody needs any more.

    Dropping them is not enough: TensorFlow keeps every `tf.custom_gradient` that was traced, and through its graph the
    variables, until the process ends.
    """
    for variable in variables:
        value = variable.value if isinstance(variable, keras.Variable) else variable
        for part in distribution.experimental_local_results(value):
            tf.raw_ops.AssignVariableOp(resource=part.handle, value=tf.zeros([0], part.dtype))
