"""`python -m benchmarks.warm_start`: how many epochs a training saves that begins with an earlier model's weights."""

import json
import os
import sys
import tempfile
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.processes import measured
from components.common import cli
from demo.data import prepare
from trainer_image.options import Options

CATALOGUE = 1500
WATCHED = "validation_recall_100"
SHARES = (0.95, 0.99)
COLD, WARM = "at random", "from the earlier model"

Curve = list[dict[str, Any]]


def compare(
    *, cut: str = "2017-10-01", epochs: int = Options.epochs, seed: int = Options.seed, cache: str = ".cache"
) -> None:
    """Trains an earlier model, then a later one twice: with and without its weights.

    The earlier extraction sees the purchases before the cut, the later one the whole log; each has its own catalogue
    and vocabularies. By default the cut lies before the later run's validation split, so that nothing that the earlier
    training saw, its early stopping included, is what the later one is measured on. Every step runs in a process of
    its own; training is what `make run` does.

    Args:
        cut: The day, UTC, on which the earlier log ends.
        epochs: Passes over the training rows, at most.
        seed: Of all three trainings.
        cache: Folder for the demo data and the runs.
    """
    purchases, products = prepare(f"{cache}/demo/all")
    curves: dict[str, Curve] = {}
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        shorter = f"{folder}/purchases.parquet"
        _write_until(cut, purchases, shorter)
        for window, log in (("earlier", shorter), ("later", purchases)):
            _say(f"extracting the {window} log")
            measured("benchmarks.warm_start:extracted", purchases=log, products=products, folder=f"{folder}/{window}")
        for name, window, source in (
            ("earlier", "earlier", ""),
            (COLD, "later", ""),
            (WARM, "later", f"{folder}/earlier/model"),
        ):
            _say(f"training the {window} model" + (f", {name}" if window == "later" else ""))
            output = f"{folder}/{window}/{'warm' if source else 'model'}"
            curves[name] = measured(
                "benchmarks.warm_start:trained",
                folder=f"{folder}/{window}",
                output=output,
                warm_start_from=source,
                epochs=epochs,
                seed=seed,
            ).result
    report(curves[COLD], curves[WARM], cut)


def extracted(purchases: str, products: str, folder: str) -> int:
    """Examples and vocabularies of one log; returns the number of its training rows."""
    from components.data_extractor.extract import extract
    from components.vocab_builder.build import build_vocabularies

    examples = f"{folder}/examples"
    os.makedirs(folder)
    extract(purchases=purchases, products=products, output_path=examples, catalogue_size=CATALOGUE)
    return int(build_vocabularies(examples=examples, output_path=f"{folder}/vocabularies.json")["rows"])


def trained(folder: str, output: str, warm_start_from: str, epochs: int, seed: int) -> Curve:
    """Trains on what `extracted` made, with the settings of `make run`; returns the curve."""
    from benchmarks.train_ours import train_on

    settings = {"epochs": epochs, "seed": seed, "warm_start_from": warm_start_from}
    return list(train_on(folder, output, **settings)["training"]["curve"])


def reached(curve: Curve, target: float) -> dict[str, Any] | None:
    """The first epoch whose Recall is at least the target, or None."""
    return next((point for point in curve if point[WATCHED] >= target), None)


def report(cold: Curve, warm: Curve, cut: str) -> None:
    """Prints the table and, as the last line, the figures as JSON.

    Both runs are measured against the best Recall of the one that began at random.
    """
    best = max(point[WATCHED] for point in cold)
    table = Table(title=f"Validation Recall@100, best of the run at random {best:.4f}; earlier model: until {cut}")
    for column in (
        "weights at first",
        *(f"{what} to {share:.0%}" for share in SHARES for what in ("epochs", "seconds")),
    ):
        table.add_column(column, justify="left" if column == "weights at first" else "right")
    for column in ("after epoch 1", "best", "its epoch"):
        table.add_column(column, justify="right")
    epochs: dict[str, int | None] = {}
    for name, curve in ((COLD, cold), (WARM, warm)):
        cells = []
        for share in SHARES:
            point = reached(curve, share * best)
            epochs[name] = point["epoch"] if point else None  # of the last share
            cells += [str(point["epoch"]), f"{point['seconds']:.1f}"] if point else ["never", "never"]
        top = max(curve, key=lambda point: point[WATCHED])
        table.add_row(name, *cells, f"{curve[0][WATCHED]:.4f}", f"{top[WATCHED]:.4f}", str(top["epoch"]))
    Console(highlight=False, width=140).print(table)
    of_cold, of_warm = epochs[COLD], epochs[WARM]
    figures = {
        "warm_start_epochs_saved": None if of_cold is None or of_warm is None else of_cold - of_warm,
        "epochs_to_99_cold": of_cold,
        "epochs_to_99_warm": of_warm,
    }
    print(json.dumps(figures))


def _write_until(day: str, purchases: str, path: str) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        sql = 'SELECT * FROM read_parquet($path) WHERE "timestamp" < $day::TIMESTAMPTZ'
        connection.sql(sql, params={"path": purchases, "day": day}).write_parquet(path, compression="zstd")


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    cli.run(compare)
