"""Trainings that tests share, and those that leave out what a test does not read."""

import json
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from tests.toy_shops import Shop
from trainer_image import export
from trainer_image.options import Options
from trainer_image.train import train


def without_export(options: Options) -> dict[str, Any]:
    """Trains and writes everything but the SavedModels, which take half of a toy shop's training.

    For tests that read weights.npz, model_metadata.json or what was printed.
    """
    with mock.patch.object(export, "write"):
        return train(options)


class Trained(NamedTuple):
    """A finished training: model/, which is alone in its folder, and model_metadata.json. Read only."""

    model: Path
    document: dict[str, Any]


class Trainings:
    """Trains each set of options once, without SavedModels, whichever test asks first.

    Args:
        folder: Where the models go.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.done: dict[str, Trained] = {}

    def __call__(self, shop: Shop, **changes: Any) -> Trained:
        """Returns the training of a shop with these options, which must not name a folder."""
        key = json.dumps([shop.examples, shop.vocabularies, changes], sort_keys=True)
        if key not in self.done:
            model = self.folder / str(len(self.done)) / "model"
            self.done[key] = Trained(model, without_export(shop.options(model, **changes)))
        return self.done[key]
