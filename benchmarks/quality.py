"""`make bench-quality`: how good the recommendations are, over several seeds, logs and feature configs."""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.processes import measured
from benchmarks.quality_logs import BASKET, LOGS
from components.common import cli, feature_config, storage
from components.common.errors import expect_at_least, expect_choice
from trainer_image.options import Options

HISTORY = "feature_config_history.yaml"
DEFAULT = "feature_config.yaml"
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {  # feature config, and what the Trainer is told beside OPTIONS
    "default": (DEFAULT, {}),
    "history": (HISTORY, {"history_through": "train"}),
    "history_through_validation": (HISTORY, {"history_through": "validation"}),
    "default_refit": (DEFAULT, {"refit": True}),
    "history_refit": (HISTORY, {"refit": True}),
}
OPTIONS = {  # what `make run` trains with, which are the Trainer's own defaults
    name: getattr(Options, name) for name in ("learning_rate", "warmup_steps", "batch_size", "patience", "top_k")
}
TIMES = {"train_seconds": "train s", "seconds_to_beat_personal_frequency": "s to beat personal frequency"}
COLUMNS = (
    *("recall_5", "recall_10", "recall_50", "recall_100", "ndcg_10", "explore_recall_10", "explore_recall_100"),
    *("up_to_date_recall_10", "up_to_date_recall_100"),
)
PEER = "stock TFRS"

Trainings = list[dict[str, Any]]  # of one log and config, one a seed
Found = dict[str, dict[str, Trainings]]  # by log and config


def compare(
    *,
    seeds: int = 3,
    epochs: int = Options.epochs,
    logs: str = ",".join(LOGS),
    configs: str = ",".join(CONFIGS),
    tfrs_minutes: float = 3.0,
    fresh: bool = False,
    cache: str = ".cache",
) -> None:
    """Trains and evaluates every log with every config and seed, every training in a process of its own.

    The logs are The Complete Journey: "temporal" and "random" (1,500 products, split as named), "all_products"
    (temporal, all that were bought at least ten times), "few_purchases" (1,500 products, temporal, every household's
    baskets dealt to ten customers) and "basket" (1,500 products, each household's last basket is the test, the one
    before it validation), where Recall is that of a basket, averaged over the households. What is trained is kept as
    JSON, so that a run that was ended goes on where it was.

    Args:
        seeds: How many, from 1 on.
        epochs: Passes over the training rows, at most.
        logs: Some of them, with commas.
        configs: Feature configs, by name, with commas. history_through_validation has the feature config of history and
            its weights, but knows what was bought in validation when it is tested, and so do the baselines beside it.
            default_refit and history_refit are trained once more, on validation too.
        tfrs_minutes: How long stock TFRS may train on the temporal log, with seed 1: it ends with the epoch in which
            they are over, and after `epochs` at the latest. 0 leaves it out.
        fresh: Discard the kept results of what is asked for.
        cache: Folder for the data and the results.
    """
    expect_at_least("--seeds", seeds, 1)
    expect_at_least("--tfrs-minutes", tfrs_minutes, 0)
    named, tried = _chosen("--logs", logs, LOGS), _chosen("--configs", configs, tuple(CONFIGS))
    for config in tried:
        feature_config.load(CONFIGS[config][0])  # an error in the last one shall not cost the trainings of the first
    folder, settings = storage.join(cache, "bench", "quality-results"), {**OPTIONS, "epochs": epochs}
    os.makedirs(folder, exist_ok=True)
    found: Found = {}
    for name in named:
        for config in tried:
            runs = found.setdefault(name, {}).setdefault(config, [])
            features, more = CONFIGS[config]
            for seed in range(1, seeds + 1):
                told: dict[str, Any] = {**settings, "seed": seed, **more}
                kept = _kept(folder, f"{name}-{config}-{seed}", features, told, fresh)
                runs.append(kept if isinstance(kept, dict) else _train(name, config, told, cache, kept))
    peer = _peer(folder, settings, tfrs_minutes, fresh, cache) if tfrs_minutes and "temporal" in named else None
    console = Console(highlight=False, width=210)
    for name, by_config in found.items():
        console.print(_table(name, by_config, seeds, peer if name == "temporal" else None))
    print(json.dumps(summary(found, peer)))


def _chosen(flag: str, text: str, known: tuple[str, ...]) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        expect_choice(flag, name, known)
    return names


def _kept(folder: str, name: str, config: str, settings: Mapping[str, Any], fresh: bool) -> dict[str, Any] | str:
    """The result of an earlier run with the same feature config and options, or the path where this one's goes."""
    told = json.dumps([feature_config.load(config).model_dump_json(), settings], sort_keys=True)
    path = storage.join(folder, f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.json")
    if fresh:
        storage.remove(path)
    if not os.path.exists(path):
        return path
    _say(f"{name}: kept from an earlier run, {path}")
    return storage.read_json(path, "a result")


def _train(name: str, config: str, settings: dict[str, Any], cache: str, path: str) -> dict[str, Any]:
    """Trains and evaluates once, and keeps the result."""
    what, features = f"{name}, {config}, seed {settings['seed']}", CONFIGS[config][0]
    # The preparation has a process of its own too: Beam and TensorFlow would stay in this one's memory.
    log = measured("benchmarks.quality_logs:log", name=name, config=features, cache=cache).result
    _say(f"{what}: training")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        run = measured(
            "benchmarks.quality_figures:trained",
            log=log,
            config=features,
            settings=settings,
            per_basket=name == BASKET,
            folder=folder,
        )
    storage.publish_file(path, storage.to_json(run.result))
    recall, epochs = run.result["figures"]["model"]["recall_10"], run.result["epochs"]
    _say(f"{what}: Recall@10 {recall:.4f}, {epochs} epochs, {run.seconds:.0f} s with the evaluation")
    return dict(run.result)


def _peer(folder: str, settings: dict[str, Any], minutes: float, fresh: bool, cache: str) -> dict[str, Any]:
    """Stock TFRS on the temporal log, trained now or earlier."""
    kept = _kept(folder, "temporal-tfrs-1", DEFAULT, {**settings, "minutes": minutes}, fresh)
    if isinstance(kept, dict):
        return kept
    log = measured("benchmarks.quality_logs:log", name="temporal", config=DEFAULT, cache=cache).result
    _say(f"temporal, {PEER}: training for {minutes:g} minutes")
    told = {"epochs": settings["epochs"], "learning_rate": settings["learning_rate"], "minutes": minutes}
    run = measured("benchmarks.quality_tfrs:trained", log=log, **told)
    storage.publish_file(kept, storage.to_json(run.result))
    _say(f"temporal, {PEER}: {run.result}")
    return dict(run.result)


def summary(found: Found, peer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The figures of the last line: of models mean and spread over the seeds, of baselines numbers.

    Args:
        found: The trainings.
        peer: What quality_tfrs.trained returned.
    """
    last: dict[str, Any] = {}
    for log, by_config in found.items():
        for config, runs in by_config.items():
            for metric in runs[0]["figures"]["model"]:
                last[f"{log}_{config}_{metric}"] = _spread([run["figures"]["model"][metric] for run in runs])
            for time in TIMES:
                if time in runs[0]:
                    last[f"{log}_{config}_{time}"] = _spread([run[time] for run in runs], 1)
        for scorer, measured_of in _baselines(by_config).items():
            last |= {f"{log}_{scorer}_{metric}": round(value, 4) for metric, value in measured_of.items()}
    if peer:
        last["temporal_stock_tfrs_recall_10"] = round(peer["recall_10"], 4)
        last |= {"temporal_stock_tfrs_epochs": peer["epochs"], "temporal_stock_tfrs_seconds": round(peer["seconds"], 1)}
        if "default" in found["temporal"]:
            ours = mean(run["figures"]["model"]["recall_10"] for run in found["temporal"]["default"])
            last["default_vs_stock_tfrs_recall_10"] = round(ours / peer["recall_10"], 3)
    return last


def _baselines(by_config: Mapping[str, Trainings]) -> dict[str, dict[str, float]]:
    """What needs no training: the same in all runs of a log, so that the first one's are taken."""
    figures = {scorer: values for runs in by_config.values() for scorer, values in runs[0]["figures"].items()}
    return {scorer: values for scorer, values in figures.items() if scorer != "model"}


def _spread(values: Sequence[float | None], digits: int = 4) -> dict[str, float | None] | None:
    """Mean and sample standard deviation, which one seed does not have; None where a seed has no value."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return {"mean": round(mean(known), digits), "spread": round(stdev(known), digits) if len(known) > 1 else None}


def _table(log: str, by_config: Mapping[str, Trainings], seeds: int, peer: Mapping[str, Any] | None) -> Table:
    """One log: the models, with mean and standard deviation, and the baselines."""
    first = next(iter(by_config.values()))[0]
    asked = {column for runs in by_config.values() for column in runs[0]["figures"]["model"]}
    columns = [column for column in COLUMNS if column in asked]
    unit = "mean over baskets" if log == BASKET else "test purchases"
    table = Table(title=f"{log}: {unit}, {seeds} seeds; explore: {first['explore_share']:.0%} of them, never bought")
    table.add_column("")
    for column in columns:
        table.add_column(_heading(column), justify="right")
    for heading in TIMES.values():
        table.add_column(heading, justify="right")
    for config, runs in by_config.items():
        known = runs[0]["figures"]["model"]
        spreads = {name: _spread([run["figures"]["model"][name] for run in runs]) for name in columns if name in known}
        cells = [_cell(spreads[column], 4) if column in spreads else "" for column in columns]
        times = [_cell(_spread([run[time] for run in runs], 1), 0) if time in runs[0] else "" for time in TIMES]
        table.add_row(config, *cells, *times, style="bold")
    for scorer, figures in _baselines(by_config).items():
        table.add_row(scorer, *(f"{figures[column]:.4f}" if column in figures else "" for column in columns))
    if peer:
        cells = [f"{peer['recall_10']:.4f}" if column == "recall_10" else "" for column in columns]
        table.add_row(f"{PEER}, {peer['epochs']} epochs", *cells, f"{peer['seconds']:.0f}")
    return table


def _heading(column: str) -> str:
    """ "explore @10" of "explore_recall_10"."""
    name, _, k = column.rpartition("_")
    return f"{name.removesuffix('recall').replace('_', ' ').strip()} @{k}".strip()


def _cell(found: Mapping[str, float | None] | None, digits: int) -> str:
    if found is None:
        return "never"
    spread = "" if found["spread"] is None else f" ± {found['spread']:.{digits}f}"
    return f"{found['mean']:.{digits}f}{spread}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    cli.run(compare)
