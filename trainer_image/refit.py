"""Trains once more, on training and validation split together, when validation has said for how many epochs.

What is finished has then learned from all that comes before the test (Goodfellow et al. 2016, "Deep Learning",
algorithm 7.2). There is nothing left to validate it with: Recall on the validation split is that of the first training.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from components.common import storage
from trainer_image.cache import Cache
from trainer_image.checkpoint import REFIT, Checkpoints
from trainer_image.fit import Features, Fit, Given, fitted, let_go, set_up
from trainer_image.inputs import UNKNOWN, Purchases, grouped
from trainer_image.options import Options

THROUGH = "validation"  # the last split that it learns from


def together(splits: Sequence[Purchases], products: int, cache: Cache) -> Purchases:
    """Some splits as one, without what was bought of products that are not in the catalogue.

    Args:
        splits: With the same queries' features; they stay as they are.
        products: N, the size of the catalogue.
        cache: Where the arrays live.
    """
    known = [np.flatnonzero(split.product != UNKNOWN) for split in splits]
    rows = sum(int(split.times[pairs].sum(dtype=np.int64)) for split, pairs in zip(splits, known, strict=True))
    target = cache.empty((rows,), np.int32)
    queries = {key: cache.empty((rows, *column.shape[1:]), column.dtype) for key, column in splits[0].queries.items()}
    end = 0
    for split, pairs in zip(splits, known, strict=True):
        times = split.times[pairs]
        start, end = end, end + int(times.sum(dtype=np.int64))
        target[start:end] = np.repeat(split.product[pairs], times)
        query = np.repeat(split.pair_query()[pairs], times)
        for key, column in queries.items():
            column[start:end] = split.queries[key][query]
    return grouped(queries, target, products, cache)


def refitted(options: Options, features: Features, given: Given, everything: Purchases, first: Fit) -> Fit:
    """Trains from the beginning on `everything`, for as many epochs as were best.

    Args:
        options: Of the first training.
        features: What the towers see.
        given: Of the first training; its `latest` history is that of both splits.
        everything: What both splits hold, `together`.
        first: What it came to; its weights are let go.
    """
    print(f"refit: training and validation split together, {first.best_epoch} epochs", flush=True)
    let_go(first.model.weights, given.distribution)
    both = given._replace(purchases={"train": everything}, history=given.latest)
    checkpoints = Checkpoints(storage.join(options.checkpoints, REFIT), options.checkpoint_minutes)
    set_up(options)
    repeats = first.training.get("repeats", {}).get("best_epoch", 0)
    with tempfile.TemporaryDirectory() as logs:
        return fitted(replace(options, epochs=first.best_epoch), features, both, checkpoints, logs, repeats)
