"""weights.npz, the file of a model that a later training starts from: every weight, and what its rows stand for."""

import json
from itertools import pairwise
from typing import Any, NamedTuple

import keras
import numpy as np

from components.common import schema, staging, storage
from components.common.errors import InputError
from trainer_image.model import TwoTower

FILE = "weights.npz"
FORMAT_VERSION = 1
TOWERS = ("query", "candidate")


class Feature(NamedTuple):
    """One input of a tower.

    Attributes:
        kind: As in `features.Encoded.basis`: tokens, boundaries, buckets, periods or normalized.
        values: What the rows or columns stand for, as there.
        rows: Of the embedding table; 0 without one.
        width: Numbers that the feature adds to the concatenation.
    """

    kind: str
    values: list[Any]
    rows: int
    width: int

    @property
    def size(self) -> int:
        """Rows without the unknown token's."""
        return len(self.values) if self.kind == "tokens" else self.rows


class Side(NamedTuple):
    """One tower.

    Attributes:
        features: By key, in the order of their concatenation.
        layers: Widths of the Dense layers.
        biases: Which of them have a bias.
    """

    features: dict[str, Feature]
    layers: list[int]
    biases: list[bool]


def save(folder: str, model: TwoTower) -> None:
    """Writes weights.npz into a local folder: the arrays by name, and their description as JSON in UTF-8."""
    towers = {
        tower: {**side._asdict(), "features": {key: feature._asdict() for key, feature in side.features.items()}}
        for tower, side in sides(model).items()
    }
    text = json.dumps({"format_version": FORMAT_VERSION, "towers": towers}, ensure_ascii=False)
    arrays = {name: variable.numpy() for name, variable in variables(model).items()}
    np.savez(storage.join(folder, FILE), description=np.frombuffer(text.encode(), np.uint8), **arrays)


def read(file: str) -> tuple[dict[str, Side], dict[str, np.ndarray]]:
    """The description and the arrays of a weights.npz, local or gs://, as `sides` and `variables` give them.

    Raises:
        InputError: not there, damaged, or another version's.
    """
    if not storage.exists(file):
        remedy = "Check --warm-start-from; models of earlier versions have no such file."
        raise InputError(file, "no such file", "the weights of an earlier model", remedy)
    try:
        with staging.staged(file) as local, np.load(local, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        description = json.loads(arrays.pop("description").tobytes())
        schema.expect_version(file, description, FORMAT_VERSION, "Trainer")
        towers = {
            tower: Side(**{**side, "features": {key: Feature(**found) for key, found in side["features"].items()}})
            for tower, side in description["towers"].items()
        }
        problem = _problem(towers, arrays)
    except InputError:
        raise
    except Exception as error:  # numpy, zipfile and json raise many, a description that lacks something others
        problem = " ".join(f"{type(error).__name__}: {error}".split())
    if problem:
        remedy = "Give another model to --warm-start-from, or train without it."
        raise InputError(file, f"damage ({problem})", "the weights of an earlier model", remedy)
    return towers, arrays


def sides(model: TwoTower) -> dict[str, Side]:
    """{"query": ..., "candidate": ...}."""
    found = {}
    for encoder, tower in ((model.query_encoder, model.query_tower), (model.candidate_encoder, model.candidate_tower)):
        features = {}
        for key, (kind, values) in encoder.bases.items():
            rows, _ = encoder.tables[key]
            features[key] = Feature(kind, values, rows, encoder.widths[key])
        dense = [(layer.units, bool(layer.use_bias)) for layer in tower.dense]
        found[tower.name] = Side(features, *map(list, zip(*dense, strict=True)))
    return found


def variables(model: TwoTower) -> dict[str, keras.Variable]:
    """{"query_city/table": [rows, dim], "query_dense_0/kernel": [inputs, width], "query_dense_0/bias": [width] ...}."""
    found = {}
    for tower in (model.query_tower, model.candidate_tower):
        found.update({f"{layer.name}/table": layer.embeddings for layer in tower.tables.values()})
        for layer in tower.dense:
            found[f"{layer.name}/kernel"] = layer.kernel
            if layer.use_bias:
                found[f"{layer.name}/bias"] = layer.bias
    return found


def _problem(towers: dict[str, Side], arrays: dict[str, np.ndarray]) -> str:
    """What contradicts what, or ""."""
    shapes: dict[str, tuple[int, ...]] = {}
    for tower, (features, layers, biases) in towers.items():
        for key, feature in features.items():
            if feature.rows:
                rows = len(feature.values) + 1 if feature.kind == "tokens" else feature.rows
                shapes[f"{tower}_{key}/table"] = (rows, feature.width)
        inputs = sum(feature.width for feature in features.values())
        for i, ((above, below), bias) in enumerate(zip(pairwise([inputs, *layers]), biases, strict=True)):
            shapes[f"{tower}_dense_{i}/kernel"] = (above, below)
            if bias:
                shapes[f"{tower}_dense_{i}/bias"] = (below,)
    if set(towers) != set(TOWERS) or {name: array.shape for name, array in arrays.items()} != shapes:
        return "other arrays than its description says"
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            return f"{name} is not finite float32"
    return ""
