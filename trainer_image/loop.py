"""The training loop: steps, validation after every epoch, checkpoints, and the best weights in the end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from trainer_image import batches, steps, strategy, validation
from trainer_image.batches import Chunk, Sampler
from trainer_image.checkpoint import Checkpoints
from trainer_image.divergence import diverged
from trainer_image.inputs import Purchases
from trainer_image.model import TwoTower
from trainer_image.optimizer import Updates
from trainer_image.preemption import Preempted
from trainer_image.progress import Progress
from trainer_image.state import State, capture
from trainer_image.steps import Step, Sums


@dataclass
class Run:
    """What one training run works with.

    Attributes:
        validation: None where there is none: then the last weights are the best.
        identity: See `state.restore`.
        saves_end: Write a checkpoint at the end too: more follows, in which the process may be ended.
        is_preempted: Whether this process was asked to stop.
    """

    model: TwoTower
    updates: Updates
    step: Step
    sampler: Sampler
    distribution: tf.distribute.Strategy
    validation: Purchases | None
    progress: Progress
    checkpoints: Checkpoints
    identity: dict[str, dict[str, Any]]
    epochs: int
    patience: int
    saves_end: bool
    is_preempted: Callable[[], bool]

    @property
    def steps_per_epoch(self) -> int:
        return self.sampler.steps_per_epoch


def fit(run: Run, state: State) -> None:
    """Trains from `state` until the epochs are over or validation Recall stops rising; leaves the best weights.

    Raises:
        InputError: the loss is no longer a number.
        Preempted: this process, or another worker, was asked to stop; a checkpoint was written.
    """
    last = 0 if is_over(run, state) else run.epochs * run.steps_per_epoch
    mine = steps.local_replicas(run.distribution)
    with batches.prefetched(
        lambda first, count: run.sampler.draw(first, count, mine), state.step, last, run.steps_per_epoch
    ) as chunks:
        for chunk in chunks:
            train(run, state, chunk)
            ended = state.step % run.steps_per_epoch == 0
            if ended:
                end_epoch(run, state)
            over = ended and is_over(run, state)
            preempted = strategy.agree(run.distribution, float(run.is_preempted())) > 0
            due = preempted or run.checkpoints.is_due(ended) or (over and run.saves_end)
            if strategy.is_chief() and due:
                state.seconds = run.progress.seconds
                run.checkpoints.save(state.step, capture(state, run.model, run.updates, run.identity))
            if preempted:
                strategy.agree(run.distribution, 0.0)  # nobody goes before the chief has saved
                folder = run.checkpoints.folder
                run.progress.say(f"SIGTERM after step {state.step:,}; the same command continues from {folder}")
                raise Preempted
            if over:
                break
    run.model.set_values(state.best)


def train(run: Run, state: State, chunk: Chunk) -> None:
    """Trains one chunk of steps."""
    sums = run.step(chunk.shares, chunk.steps)
    epoch = state.step // run.steps_per_epoch + 1
    if not np.isfinite(sums.loss):
        raise diverged(f"training loss in epoch {epoch}", str(sums.loss))
    if state.step % run.steps_per_epoch == 0:
        state.epoch_sums = [0.0] * len(sums)
    state.step += chunk.steps
    state.epoch_sums = [before + more for before, more in zip(state.epoch_sums, sums, strict=True)]
    done = state.step - (epoch - 1) * run.steps_per_epoch
    run.progress.steps_done(epoch, done, Sums(*state.epoch_sums), chunk.waited)


def end_epoch(run: Run, state: State) -> None:
    """Validates, reports, and keeps the weights where they are the best so far."""
    epoch = state.step // run.steps_per_epoch
    found = validation.validate(run.model, run.validation) if run.validation else None
    point = run.progress.epoch_done(epoch, Sums(*state.epoch_sums), found)
    state.curve.append(point)
    if found is None:
        state.best_epoch, state.best = epoch, run.model.get_values()
        return
    # Workers compute the same number, but not always to the last bit: they must decide alike.
    reached = strategy.agree(run.distribution, found.recalls[validation.watched(len(run.model.catalogue))])
    if reached > state.best_recall:
        state.best_recall, state.best_epoch, state.best = reached, epoch, run.model.get_values()


def is_over(run: Run, state: State) -> bool:
    """Whether the epochs are over, or the last `patience` of them, all after the warm-up, brought nothing."""
    epoch = state.step // run.steps_per_epoch
    since = max(state.best_epoch, warm_epochs(state.warmup, run.steps_per_epoch))
    return epoch >= run.epochs or epoch - since >= run.patience


def warm_epochs(warmup: int, steps_per_epoch: int) -> int:
    """The epochs that a warm-up of so many steps is part of: patience counts from the next one."""
    return -(-warmup // steps_per_epoch)
