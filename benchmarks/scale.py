"""`make bench-scale`: twenty million purchases from TFRecords to the saved model, and what more rows cost."""

import json
import sys
import tempfile
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import train_data
from benchmarks.processes import Run, measured
from components.common import cli, storage

MILLION = 1_000_000
HEADLINE = (20 * MILLION, 34_000, 1_500)
SIZES = {1: 4, 5: 2, 20: 1}  # million rows: epochs
CUSTOMERS, PRODUCTS = 600_000, 30_000


def compare(*, cache: str = ".cache", headline_epochs: int = 150, patience: int = 3) -> None:
    """Trains on synthetic logs whose best possible Recall is known, every run in a process of its own.

    The headline is the reference's: 20 million purchases of 34,000 customers and 1,500 products, up to 150 epochs,
    batch 4,096. It takes about a quarter of an hour on two idle cores, the rest another one.

    Args:
        cache: Folder for the logs, which are made on the first call.
        headline_epochs: At most; it stops early.
        patience: Epochs without a better validation Recall@100 after which it does.
    """
    console = Console(highlight=False)
    logs = {size: train_data.cached(size * MILLION, CUSTOMERS, PRODUCTS, cache=cache) for size in SIZES}
    log = train_data.cached(*HEADLINE, cache=cache)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        headline = measured(
            "benchmarks.scale:trained",
            log=log,
            folder=f"{folder}/headline",
            epochs=headline_epochs,
            patience=patience,
        )
        print(f"headline: {headline.seconds / 60:.1f} minutes, {headline.result['test']}", file=sys.stderr)
        runs = {}
        for size, epochs in SIZES.items():
            runs[size] = measured(
                "benchmarks.scale:trained", log=logs[size], folder=f"{folder}/{size}", epochs=epochs, patience=epochs
            )
            run = runs[size]
            print(f"{size} million rows: {rate(run):,.0f} rows/s, {run.peak_mib:,.0f} MiB", file=sys.stderr)
    console.print(curve(headline, storage.read_json(f"{log}/{train_data.TRUTH}", "the truth about a synthetic log")))
    table = Table(title=f"{CUSTOMERS:,} customers, {PRODUCTS:,} products")
    for column in ("million rows", "loss", "rows/s in training", "seconds in all", "peak MiB"):
        table.add_column(column, justify="right")
    for size, run in runs.items():
        cells = run.result["loss"], f"{rate(run):,.0f}", f"{run.seconds:.0f}", f"{run.peak_mib:,.0f}"
        table.add_row(str(size), *cells)
    console.print(table)
    figures = {
        "headline_minutes": round(headline.seconds / 60, 1),
        "headline_recall_100": round(headline.result["test"]["test_recall_100"], 4),
        **{f"rows_per_s_{size}m": round(rate(run)) for size, run in runs.items()},
        "peak_mib_20m": round(runs[20].peak_mib),
    }
    print(json.dumps(figures))


def rate(run: Run) -> float:
    """Rows a second of the last epoch, which compiles nothing where there were several."""
    return float(run.result["curve"][-1]["examples_per_s"])


def curve(run: Run, truth: dict[str, Any]) -> Table:
    """The validation Recall by epoch, and on the test split beside what is possible."""
    points = run.result["curve"]
    table = Table(title=f"20 million purchases: {run.seconds / 60:.1f} minutes, {len(points)} epochs")
    for column in ("epoch", "minutes", "loss", "validation Recall@10", "@100"):
        table.add_column(column, justify="right")
    for point in points:
        cells = (point["loss"], point["validation_recall_10"], point["validation_recall_100"])
        table.add_row(str(point["epoch"]), f"{point['seconds'] / 60:.1f}", *(f"{cell:.4f}" for cell in cells))
    table.caption = (
        f"test Recall@100: {run.result['test']['test_recall_100']:.4f}, of the true probabilities "
        f"{truth['recall_of_true_probabilities']['100']:.4f}, of popularity {truth['recall_of_popularity']['100']:.4f}"
    )
    return table


def trained(log: str, folder: str, epochs: int, patience: int) -> dict[str, Any]:
    """From TFRecords to the saved model."""
    from benchmarks.train_ours import train_on

    document = train_on(log, folder, epochs=epochs, patience=patience)
    return {
        "loss": document["hyperparameters"]["loss"],
        "curve": document["training"]["curve"],
        "test": document["metrics"]["test_metrics"],
    }


if __name__ == "__main__":
    cli.run(compare)
