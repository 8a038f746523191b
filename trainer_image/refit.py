"""Trains once more, on training and validation split together, when validation has said for how many epochs.

What is finished has then learned from all that comes before the test (Goodfellow et al. 2016, "Deep Learning",
algorithm 7.2). There is nothing left to validate it with: Recall on the validation split is that of the first training.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from components.common import schema, storage
from trainer_image import past, progress, strategy, validation
from trainer_image.cache import Cache
from trainer_image.checkpoint import REFIT, Checkpoints
from trainer_image.fit import Features, Fit, Given, fitted, let_go, set_up
from trainer_image.inputs import UNKNOWN, Purchases, grouped
from trainer_image.model import Encoders
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


def given(first: Given, encoders: Encoders, path: str, cache: Cache) -> Given:
    """What the second training has, whose history is the `latest` of the first one.

    Args:
        first: What the first training has.
        encoders: Of both.
        path: Where its purchases came from, for errors.
        cache: Where the arrays live.

    Raises:
        InputError: with a history, what the query tower reads of a customer is not the same in both splits.
    """
    splits = [first.purchases[split] for split in schema.splits_through(THROUGH)]
    everything = together(splits, len(encoders.catalogue), cache)
    if first.latest:
        past.expect_one_query_each(everything, path)
    return first._replace(purchases={"train": everything}, history=first.latest)


def refitted(options: Options, features: Features, both: Given, first: Fit, logs: str) -> Fit:
    """Trains from the beginning, for as many epochs as were best.

    Args:
        options: Of the first training.
        features: What the towers see.
        both: What `given` returned.
        first: What the first training came to; its weights are let go.
        logs: Local folder of the first training's logs; these are beside them.
    """
    if strategy.is_chief():
        print(f"refit: training and validation split together, {first.best_epoch} epochs", flush=True)
    let_go(first.model.weights, both.distribution)
    checkpoints = Checkpoints(storage.join(options.checkpoints, REFIT), options.checkpoint_minutes)
    set_up(options)
    repeats = first.training.get("repeats", {}).get("best_epoch", 0)
    told = replace(options, epochs=first.best_epoch)
    again = fitted(told, features, both._replace(warmup=first.warmup), checkpoints, storage.join(logs, REFIT), repeats)
    sample = validation.sampled(both.purchases["train"], len(again.model.catalogue), options.seed)
    collapsed = validation.validate(again.model, sample).collapsed  # no epoch was validated
    if collapsed and strategy.is_chief():
        print(f"warning: {progress.COLLAPSE.format(collapsed)}", file=sys.stderr)
    return again
