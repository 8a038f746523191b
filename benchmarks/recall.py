"""`make bench-recall`: what grouping equal queries and row-wise Adam do to Recall, over three seeds of the demo."""

import json
import sys
import tempfile
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.demo_log import demo_log
from benchmarks.processes import measured
from components.common import cli

GROUPED, BY_ROW, LAZY = "equal queries grouped", "row by row", "grouped, customers by row-wise Adam"
METRICS = (("validation", 100), ("test", 10), ("test", 100))


def compare(*, seeds: int = 3, epochs: int = 40, cache: str = ".cache") -> None:
    """Trains the demo's model in three ways with each seed, every run in a process of its own; takes ten minutes.

    Args:
        seeds: How many.
        epochs: Passes over the training rows, all of which are made; the best one's weights count.
        cache: Folder for the data.
    """
    log = demo_log(cache)
    found: dict[str, list[dict[str, float]]] = {GROUPED: [], BY_ROW: [], LAZY: []}
    for seed in range(1, seeds + 1):
        for kind, runs in found.items():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                run = measured("benchmarks.recall:trained", log=log, kind=kind, seed=seed, epochs=epochs, folder=folder)
            runs.append(run.result)
            print(f"seed {seed}, {kind}: {run.result}", file=sys.stderr)
    table = Table(title=f"Recall, mean and standard deviation of {seeds} seeds, {epochs} epochs")
    table.add_column("")
    for split, k in METRICS:
        table.add_column(f"{split} @{k}", justify="right")
    table.add_column("seconds", justify="right")
    for kind, runs in found.items():
        cells = [[run[f"{split}_recall_{k}"] for run in runs] for split, k in METRICS]
        spread = [f"{mean(cell):.4f} ± {stdev(cell) if len(cell) > 1 else 0:.4f}" for cell in cells]
        table.add_row(kind, *spread, f"{mean(run['seconds'] for run in runs):.0f}")
    Console(highlight=False).print(table)
    last = {kind: mean(run["test_recall_100"] for run in runs) for kind, runs in found.items()}
    figures = {"recall_100": last[GROUPED], "recall_100_by_row": last[BY_ROW], "recall_100_lazy": last[LAZY]}
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def trained(log: str, kind: str, seed: int, epochs: int, folder: str) -> dict[str, float]:
    """Trains once and returns the metrics of METRICS and the seconds of training."""
    from benchmarks.train_ours import by_row, train_on
    from components.common.example_part import Part
    from trainer_image import inputs, optimizer

    if kind == LAZY:
        optimizer.LAZY_FROM = 1
    if kind == BY_ROW:
        load = inputs.load

        def ungrouped(part: Part, *arguments: Any, **options: Any) -> Any:
            purchases = load(part, *arguments, **options)
            return by_row(purchases) if part.split == "train" else purchases

        inputs.load = ungrouped
    document = train_on(log, f"{folder}/model", epochs=epochs, patience=epochs, seed=seed)
    metrics = {**document["metrics"]["validation_metrics"], **document["metrics"]["test_metrics"]}
    return {**metrics, "seconds": document["training"]["seconds"]}


if __name__ == "__main__":
    cli.run(compare)
