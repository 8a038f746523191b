"""Going on where an earlier run of the same command ended."""

import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from components.common import feature_config as fc
from components.common import storage
from components.common.errors import InputError
from trainer_image import strategy
from trainer_image.checkpoint import Saved
from trainer_image.inputs import Purchases
from trainer_image.model import TwoTower
from trainer_image.optimizer import Updates
from trainer_image.options import Options
from trainer_image.state import State, restore


def identity(
    options: Options,
    config: fc.FeatureConfig,
    loss: str,
    replicas: int,
    purchases: Purchases,
    catalogue: list[str],
    steps_per_epoch: int,
) -> dict[str, dict[str, Any]]:
    """What a checkpoint must have in common with a run that continues from it; see `state.restore`."""
    digest = hashlib.sha256(storage.read_text(options.vocabularies_path, "vocabularies.json").encode())
    digest.update(" ".join(catalogue).encode())
    for column in (*purchases.queries.values(), purchases.splits, purchases.product, purchases.times):
        digest.update(np.ascontiguousarray(column).data)
    fixed = {
        **options.fixed,
        "loss": loss,
        "replicas": replicas,
        "feature config": config.model_dump(mode="json"),
        "data": digest.hexdigest()[:16],
        "steps an epoch": steps_per_epoch,
    }
    return {"fixed": fixed, "changeable": options.changeable}


def warmup(saved: Saved | None, asked: int, in_force: int) -> int:
    """Steps of the warm-up: as it was begun, although there may be more epochs now, unless it was asked for anew.

    Args:
        saved: The checkpoint that the run continues from.
        asked: --warmup-steps.
        in_force: Where the run begins here.
    """
    if saved and saved.document["identity"]["changeable"].get("warmup_steps") == asked:
        return int(saved.document["state"].get("warmup", in_force))
    return in_force


def restored(
    saved: Saved | None,
    model: TwoTower,
    updates: Updates,
    identity: dict[str, dict[str, Any]],
    folder: str,
    distribution: tf.distribute.Strategy,
) -> State:
    """The state of a checkpoint, its weights and moments put back, or a new state.

    Raises:
        InputError: the checkpoint is another run's, or the workers of a cluster found different ones.
    """
    state = restore(saved, model, updates, identity, folder) if saved else State()
    if strategy.agree(distribution, float(state.step)) != state.step:
        found = f"step {state.step:,} on this worker, another one elsewhere"
        remedy = "Give all workers one --checkpoint-path that they share, such as a gs:// folder."
        raise InputError(folder, found, "the same checkpoints on all workers", remedy)
    return state
