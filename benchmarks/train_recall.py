"""How soon ours and stock TFRS reach a validation Recall@100 on the demo's purchases."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import train_ours, train_rows, train_tfrs
from benchmarks.demo_log import demo_log
from components.common import ranking, schema
from trainer_image import batches, optimizer, validation
from trainer_image.options import Options

WATCHED, SHARE = 100, 0.95
THEIR_EVERY, THEIR_MOST = 120, 60  # steps between two looks; times our seconds after which the peer is stopped

Curve = list[tuple[float, float]]


def race(log: str, console: Console) -> dict[str, Any]:
    """Prints the curves and returns the figures. Clocks run from the first step, tracing included, without looks.

    The peer runs in its tutorials' form, and with logQ and the removal of accidental hits. Where it does not get there
    within THEIR_MOST times our seconds it is stopped, and the speed-up is a lower bound.
    """
    ours = our_curve(log)
    best = max(recall for _, recall in ours)
    target = SHARE * best
    our_seconds = first(ours, target)
    curves = {"ours": ours}
    figures: dict[str, Any] = {"time_to_recall_seconds": our_seconds}
    for name, corrected, figure in (
        ("TFRS", False, "time_to_recall_speedup"),
        ("TFRS with logQ", True, "time_to_recall_speedup_vs_logq"),
    ):
        curve = their_curve(log, corrected, target, THEIR_MOST * our_seconds)
        reached = curve[-1][1] >= target
        curves[name] = curve
        figures[figure] = (first(curve, target) if reached else curve[-1][0]) / our_seconds
        if not reached:
            top = max(recall for _, recall in curve)
            console.print(f"{name} was stopped after {curve[-1][0]:.0f} s, its best being {top:.4f}: a lower bound")
    table = Table(title=f"Seconds to a validation Recall@{WATCHED}; best {best:.4f}, target {target:.4f}")
    for column in ("Recall", *curves):
        table.add_column(column, justify="right")
    for share in (0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0):
        cells = [first(curve, share * best) for curve in curves.values()]
        table.add_row(f"{share * best:.4f}", *(f"{cell:.1f}" if cell < np.inf else "-" for cell in cells))
    console.print(table)
    return figures


def first(curve: Curve, recall: float) -> float:
    """Seconds until the curve is at `recall`; infinity when it never is."""
    return next((seconds for seconds, reached in curve if reached >= recall), np.inf)


def our_curve(log: str) -> Curve:
    data = train_ours.read(log)
    held_out = train_ours.purchases(log, "validation", data.encoders)
    adam = optimizer.adam(Options.learning_rate, "none", 0, 1)
    model, sampler, step = train_ours.build(data, "full-catalogue", adam)
    curve, seconds = [], 0.0

    def draw(start: int, count: int) -> list[batches.Batch]:
        return sampler.draw(start, count, [0])

    every = sampler.steps_per_epoch
    with batches.prefetched(draw, 0, Options.epochs * every, every) as chunks:
        done, started = 0, time.perf_counter()
        for chunk in chunks:
            step(chunk.shares, chunk.steps)
            done += chunk.steps
            if done % every == 0:
                seconds += time.perf_counter() - started
                curve.append((seconds, validation.validate(model, held_out).recalls[WATCHED]))
                started = time.perf_counter()
    return curve


def their_curve(log: str, corrected: bool, target: float, most: float) -> Curve:
    """Until the target is reached or `most` seconds have passed."""
    model = train_tfrs.build(train_rows.read_vocabularies(log), corrected=corrected)
    model.optimizer.learning_rate.assign(Options.learning_rate)
    ranks = their_ranks(log, "validation")
    curve: Curve = []

    def judge(steps: int, seconds: float) -> bool:
        curve.append((seconds, float(ranking.recall(*ranks(model), WATCHED).mean())))
        return curve[-1][1] >= target or seconds > most

    train_tfrs.train(model, train_rows.raw(log, "train"), judge, every=THEIR_EVERY, epochs=1000)
    return curve


def their_ranks(log: str, split: str) -> Callable[[train_tfrs.TwoTower], tuple[np.ndarray, np.ndarray]]:
    """What ranks a split's rows by the peer's model: better and tied, int64 [R]; see ranking.count_better."""
    rows, products = train_rows.raw(log, split), train_rows.catalogue(log)
    _, first, query = np.unique(rows[schema.CUSTOMER], return_index=True, return_inverse=True)
    customers = {name: column[first] for name, column in rows.items()}
    place = {product: number for number, product in enumerate(products[schema.PRODUCT])}
    bought = np.array([place.get(product, ranking.NOT_IN_CATALOGUE) for product in rows[schema.PRODUCT]])

    def ranks(model: train_tfrs.TwoTower) -> tuple[np.ndarray, np.ndarray]:
        scores = ranking.embedding_scores(
            train_tfrs.embed(model.query_tower, customers), train_tfrs.embed(model.candidate_tower, products)
        )
        return ranking.count_better(scores, query, bought, candidates=len(place))

    return ranks


if __name__ == "__main__":
    print(race(demo_log(), Console(highlight=False)))
