"""What a search leaves: the best model with its settings, tuning.json, and what a person is shown."""

import os
import shutil
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table

from components.common import disk, saved_models, storage
from components.common.errors import InputError
from trainer_image.options import Options
from tuning import plot, trainer
from tuning.space import TRAINER, Settings
from tuning.studies import ERROR, REPEATS, Study

BEST, SUMMARY, PLOT = "best", "tuning.json", "tuning.png"
PARAMETERS, CONFIG = "parameters.yaml", "feature_config.yaml"
SHOWN = 10
OF_THE_PIPELINE = (*TRAINER, "seed", "top_k", "warm_start_from", "history_through")
FIGURES = "figures"  # of a training, beside its number in the journal: Recall of both splits, epochs, seconds


def figures(document: dict[str, Any]) -> dict[str, Any]:
    """What is kept of model_metadata.json."""
    metrics = document["metrics"]
    return {
        "validation": metrics["validation_metrics"],
        "test": metrics["test_metrics"],
        "best_epoch": metrics["best_epoch"],
        "epochs": len(document["training"]["curve"]),
        "seconds": saved_models.training_seconds(document),
    }


def keep(study: Study, settings: Settings, best: FrozenTrial) -> None:
    """Puts the best training's model and settings into best/, which changes as a whole."""
    source, folder = study.folder_of(best.params), study.folder / BEST
    work = study.folder / f"{BEST}.partial"
    shutil.rmtree(work, ignore_errors=True)
    try:
        shutil.copytree(source / trainer.MODEL, work / trainer.MODEL)
    except OSError as error:  # shutil's own, too: a list of files with what is wrong with each
        if found := disk.fault(error, str(work)):
            raise found from None
        remedy = "Give --output-path another folder, or delete this one."
        raise InputError(str(source / trainer.MODEL), f"damage ({error})", "a training's model", remedy) from None
    storage.write_text(str(work / PARAMETERS), parameters(settings.options))
    config = yaml.safe_dump(settings.config.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    storage.write_text(str(work / CONFIG), config)
    old = study.folder / f"{BEST}.old"
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(work, folder)
    shutil.rmtree(old, ignore_errors=True)


def drop_others(study: Study) -> None:
    """Removes the models that are not the best; their logs stay."""
    best, *others = (study.folder_of(trial.params) for trial in study.complete)
    for folder in others:
        if folder != best:  # the estimator may propose the same settings again
            shutil.rmtree(folder / trainer.MODEL, ignore_errors=True)


def parameters(options: Options) -> str:
    """YAML with the pipeline's parameters: what is not the Trainer's default."""
    told = asdict(options)
    changed = [
        field.name for field in fields(Options) if field.name in OF_THE_PIPELINE and told[field.name] != field.default
    ]
    return str(yaml.safe_dump({name: told[name] for name in changed}, sort_keys=False)) if changed else "{}\n"


def summary(study: Study) -> dict[str, Any]:
    """tuning.json: every training; Recall on the test split of the given and the best settings alone."""
    complete = study.complete
    trials = [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "settings": trial.params,
            **({"validation": trial.user_attrs[FIGURES]["validation"]} if FIGURES in trial.user_attrs else {}),
            **{name: trial.user_attrs[name] for name in (ERROR, REPEATS) if name in trial.user_attrs},
        }
        for trial in study.trials
    ]
    given = next(trial for trial in complete if not trial.params)  # without it there are no others
    shown = {
        name: {"number": trial.number, "settings": trial.params, **trial.user_attrs[FIGURES]}
        for name, trial in (("given", given), ("best", complete[0]))
    }
    return {"k": study.k, **shown, "trials": trials}


def write(study: Study) -> None:
    """Writes tuning.json and the plot, over those of a moment ago."""
    document = summary(study)
    work = study.folder / f"{SUMMARY}.partial"
    storage.write_json(str(work), document)
    os.replace(work, study.folder / SUMMARY)
    plot.write(study.folder / PLOT, document)


def show(document: dict[str, Any], console: Console, folder: Path) -> None:
    """The best trainings, and what the search has gained."""
    k, given, best = document["k"], document["given"], document["best"]
    metric = f"validation_recall_{k}"
    trained = [trial for trial in document["trials"] if REPEATS not in trial]
    table = Table(title=f"the best of {len(trained)} trainings, by validation Recall@{k}")
    for column in ("", f"Recall@{k}", "settings"):
        table.add_column(column, justify="left" if column == "settings" else "right")
    ranked = sorted(
        (trial for trial in trained if "validation" in trial), key=lambda trial: -trial["validation"][metric]
    )
    for trial in ranked[:SHOWN]:
        table.add_row(str(trial["number"]), f"{trial['validation'][metric]:.4f}", words(trial["settings"]))
    console.print(table)
    for name, figures in (("as given", given), ("best", best)):
        recalls = "   ".join(
            f"{split} {' '.join(f'{value:.4f}' for value in figures[split].values())}"
            for split in ("validation", "test")
        )
        console.print(f"{name:<9} {recalls}   {figures['seconds']:.0f} s")
    ks = " ".join(name.removeprefix("test_recall_") for name in best["test"])
    console.print(f"(Recall at {ks}; the test split decided nothing)\n")
    for what, path in (
        ("model", f"{BEST}/{trainer.MODEL}"),
        ("settings", f"{BEST}/{PARAMETERS}"),
        ("features", f"{BEST}/{CONFIG}"),
        ("plot", PLOT),
    ):
        console.print(f"{what:<9} {folder / path}")


def words(settings: dict[str, Any]) -> str:
    """The settings on one line."""
    found = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in settings.items()
    )
    return found or "as given"
