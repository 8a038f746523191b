"""Where training stands, and how it gets into a checkpoint and back."""

import sys
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from components.common.errors import InputError
from trainer_image.checkpoint import Saved
from trainer_image.divergence import diverged
from trainer_image.model import TwoTower
from trainer_image.optimizer import Updates


@dataclass
class State:
    """Everything beside weights and moments.

    Attributes:
        step: Steps done, of all epochs.
        warmup: Steps of the warm-up that is in force.
        epoch_sums: Of what the current epoch's steps held: the fields of `steps.Sums`.
        best_recall: The best validation Recall so far, of the k that is watched.
        best_epoch: The epoch that reached it.
        best: The weights that reached it.
        curve: One dict an epoch.
        seconds: Spent in training up to the last checkpoint, by all runs.
    """

    step: int = 0
    warmup: int = 0
    epoch_sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    best_recall: float = -1.0
    best_epoch: int = 0
    best: list[np.ndarray] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def capture(state: State, model: TwoTower, updates: Updates, identity: dict[str, dict[str, Any]]) -> Saved:
    """All of it for a checkpoint; see `restore` for `identity`.

    Raises:
        InputError: a weight is not finite any more, so that the last checkpoint stays the good one.
    """
    arrays = {f"weight-{i}": value for i, value in enumerate(model.get_values())}
    for i, value in enumerate(arrays.values()):
        if not np.isfinite(value).all():
            raise diverged(f"weight {model.weights[i].path} after step {state.step}", "NaN or infinite values")
    arrays |= {f"moment-{i}": np.asarray(variable) for i, variable in enumerate(updates.variables)}
    arrays |= {f"best-{i}": value for i, value in enumerate(state.best)}
    document = {one.name: getattr(state, one.name) for one in fields(state) if one.name != "best"}
    return Saved(arrays, {"state": document, "identity": identity})


def restore(saved: Saved, model: TwoTower, updates: Updates, identity: dict[str, dict[str, Any]], folder: str) -> State:
    """Sets weights and moments and returns the state.

    Args:
        saved: The checkpoint.
        model, updates: What it is put into.
        identity: {"fixed": what must be as it was, "changeable": what may be another value now}.
        folder: Where the checkpoints are, for errors.

    Raises:
        InputError: the checkpoint is of other data or of another command.
    """
    earlier = saved.document["identity"]
    for name, value in identity["fixed"].items():
        if earlier["fixed"].get(name) != value:
            found = f"checkpoints of a run with {name} {earlier['fixed'].get(name)}"
            remedy = "Run the same command to continue, delete the folder to begin anew, or choose --checkpoint-path."
            raise InputError(folder, found, f"{name} {value}", remedy)
    for name, value in identity["changeable"].items():
        if earlier["changeable"].get(name) != value:
            print(f"continuing with {name} {value}, which was {earlier['changeable'].get(name)}", file=sys.stderr)
    state = State(**saved.document["state"])
    count = len(model.weights)
    model.set_values([saved.arrays[f"weight-{i}"] for i in range(count)])
    for i, variable in enumerate(updates.variables):
        variable.assign(saved.arrays[f"moment-{i}"])
    state.best = [saved.arrays[f"best-{i}"] for i in range(count if state.best_epoch else 0)]
    return state
