"""Served models of the fake world, right and wrong ones."""

import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from components.common import queries, saved_models, schema
from components.exporter import catalogue, serving_model, warmup
from components.exporter.catalogue import Catalogue
from components.exporter.serving_model import ServingModel

# Of fake_model's test purchases, by hand: what each counts in Recall, in the order of TEST. ann's scores are 4 3 2 1
# for products 11 to 14, bob's all equal, cyd's 0 1 2 3, dan's 1 2 2 0; product 15 is not in the catalogue.
HITS = {"recall_1": (1, 0, 1 / 4, 1, 1 / 2, 0), "recall_2": (1, 0, 2 / 4, 1, 1, 0)}
BUYERS = (0, 0, 1, 2, 3, 0)
RECALL = {"recall_1": 2.75 / 6, "recall_2": 3.5 / 6}
YES = {"promote": True, "reasons": [{"rule": "coverage", "passed": True, "text": "All of it."}]}
NO = {"promote": False, "reasons": [{"rule": "baseline", "passed": False, "text": "Popularity is better."}]}
SIGNATURES = (
    *("serving_default", "recommend", "recommend_excluding"),
    *("similar_products", "query_embedding", "candidate_embedding"),
)


def figures() -> dict[str, dict[str, float]]:
    """RECALL with the 95% intervals of a bootstrap of the four customers, drawn as the Evaluator draws them."""
    random = np.random.default_rng(0)
    counts = np.stack([np.bincount(random.integers(0, 4, 4), minlength=4) for _ in range(1000)])
    times = counts[:, BUYERS]  # [resamples, purchases]
    found = {}
    for name, value in RECALL.items():
        drawn = (times * HITS[name]).sum(axis=1) / times.sum(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        found[name] = {"value": value, "low": float(low), "high": float(high)}
    return found


def write_evaluation(folder: Path, recall: dict[str, float] = RECALL, **changes: Any) -> str:
    folder.mkdir()
    figures = {name: {"value": value, "low": value, "high": value} for name, value in recall.items()}
    document = {
        "format_version": 2,
        "model_version": "v1",
        "split": "test",
        "rows": 6,
        "verdict": YES,
        "metrics": {"model": figures},
        **changes,
    }
    (folder / "evaluation.json").write_text(json.dumps(document))
    return str(folder)


@functools.cache
def towers(model: str) -> tuple[saved_models.SavedModel, saved_models.SavedModel]:
    return saved_models.SavedModel(model, "query_model"), saved_models.SavedModel(model, "candidate_model")


def catalogue_of(model: str, examples: str) -> Catalogue:
    path = f"{examples}/metadata.json"
    ids = saved_models.read_metadata(model)["catalogue"]
    return catalogue.read(ids, towers(model)[1], schema.read_metadata(path)["products"], path)


_RIGHT = tempfile.TemporaryDirectory()  # goes with this process


@functools.cache
def right(model: str, examples: str) -> str:
    """A release as the Exporter builds it, without warm-up requests: written once for a model, to be read only."""
    folder = tempfile.mkdtemp(dir=_RIGHT.name)
    products = catalogue_of(model, examples)
    serving_model.write(f"{folder}/saved_model", ServingModel(*towers(model), products))
    return folder


@functools.cache
def requests(model: str, examples: str) -> list[warmup.Request]:
    """One warm-up request of every signature."""
    written = saved_models.SavedModel(right(model, examples), "saved_model")
    customers = {"cust_person_id": np.array([b"ann"], object), "revenue": np.array([3], np.float32)}
    names = (*SIGNATURES, *(["recommend_from_history"] if queries.has_history(towers(model)[0]) else []))
    return warmup.of({name: written.another(name) for name in names}, customers, catalogue_of(model, examples))


def build(
    folder: Path,
    model: str,
    examples: str,
    alter: Callable[[Catalogue], Catalogue] | None = None,
    kind: type[ServingModel] = ServingModel,
    warm: bool = True,
    warm_as: str = "",
) -> str:
    """Writes folder/saved_model as the Exporter does, and returns folder.

    Args:
        folder: Where.
        model, examples: What it is built from.
        alter: Makes another catalogue of it.
        kind: Another class.
        warm: Whether there are warm-up requests.
        warm_as: The model whose requests they are, if not its own: of one with the same inputs they are the same.
    """
    path = str(folder / "saved_model")
    if alter is None and kind is ServingModel:
        shutil.copytree(f"{right(model, examples)}/saved_model", path)
    else:
        products = catalogue_of(model, examples)
        serving_model.write(path, kind(*towers(model), alter(products) if alter else products))
    if warm:
        warmup.write(path, requests(warm_as or model, examples))
    return str(folder)
