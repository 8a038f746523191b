"""The peer of `make bench-quality`: stock TFRS on the same rows, as long as a budget lasts."""

from typing import Any

import numpy as np

from benchmarks import train_recall, train_rows, train_tfrs
from components.common import ranking


def trained(log: str, epochs: int, minutes: float, learning_rate: float, seed: int = 1) -> dict[str, Any]:
    """Trains the tutorials' form; its test Recall@10 is that of the epoch with the best validation Recall@100.

    So it has what the Trainer's early stopping gives: the weights of its best epoch, not of its last.

    Args:
        log: Folder with examples/ and vocabularies.json.
        epochs: At most.
        minutes: Of training, at most, without the looks at its Recall.
        learning_rate: Of Adam.
        seed: Of the initial weights and of the order of the rows.
    """
    model = train_tfrs.build(train_rows.read_vocabularies(log), corrected=False, seed=seed)
    model.optimizer.learning_rate.assign(learning_rate)
    validation, test = (train_recall.their_ranks(log, split) for split in ("validation", "test"))
    rows = train_rows.raw(log, "train")
    steps_an_epoch = len(rows["revenue"]) // train_tfrs.BATCH
    best: dict[str, Any] = {"watched": -np.inf}
    last: dict[str, Any] = {}

    def judge(steps: int, seconds: float) -> bool:
        watched = float(ranking.recall(*validation(model), train_recall.WATCHED).mean())
        if watched > best["watched"]:
            best.update(watched=watched, recall_10=float(ranking.recall(*test(model), 10).mean()), best_seconds=seconds)
        last.update(epochs=steps // steps_an_epoch, seconds=seconds)
        return seconds > 60 * minutes

    train_tfrs.train(model, rows, judge, every=steps_an_epoch, epochs=epochs)
    return {**best, **last}
