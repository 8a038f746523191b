"""Searches for settings of the Trainer that do better on the validation split. Read `tune` first."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from components.common import example_metadata, schema, staging, storage
from components.common import feature_config as fc
from components.common.errors import InputError
from components.common.vocabularies import read_vocabularies
from trainer_image.options import Options, within
from trainer_image.preemption import EXIT_CODE
from tuning import results, space, studies, trainer
from tuning.options import Search
from tuning.space import Settings
from tuning.studies import Study

SPACE = Path(__file__).with_name("space.yaml")
RESERVED = {
    "checkpoint_path": "none: every training has its checkpoints in its own folder",
    "ablate": "no ablation: it is of one model",
    "refit": "no second training: the settings are not found yet",
}


def tune(options: Options, search: Search) -> None:
    """Trains with many settings and keeps those with the best validation Recall; `python -m tuning --help` says how.

    Args:
        options: The Trainer's flags; output_path is the search's folder.
        search: What is searched, and how long.

    Raises:
        InputError: for anything that the user can put right.
    """
    search.check()
    options.check()
    _expect_possible(options, search.k)
    given = Settings(options, fc.load(options.feature_config))
    distributions = space.load(search.space or str(SPACE), given)
    with studies.locked(Path(options.output_path)) as lock:
        study = studies.opened(Path(options.output_path), given, search.k, distributions)
        _search(study, given, distributions, search, lock)


def _search(
    study: Study, given: Settings, distributions: Mapping[str, BaseDistribution], search: Search, lock: int
) -> None:
    """Trains where there are not enough trainings yet, and shows what was found."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if len(study.trials) < search.trials:
        try:
            # A bucket is copied once, for all trainings.
            with _interruptible(), staging.staged(given.options.tfrecords_path) as local:
                here = given._replace(options=replace(given.options, tfrecords_path=local))
                _trainings(study, here, distributions, search, console, lock)
        except KeyboardInterrupt:
            print("\nended; the same command goes on from here", file=sys.stderr)
            sys.exit(EXIT_CODE)
    else:
        _keep(study, given)  # what an ended call left may be behind the journal
    results.show(results.summary(study), console, study.folder)


def _trainings(
    study: Study,
    given: Settings,
    distributions: Mapping[str, BaseDistribution],
    search: Search,
    console: Console,
    lock: int,
) -> None:
    """Trains until there are enough trainings, or the minutes are over."""
    started, kept = time.monotonic(), -1
    with _bar(console, search.trials, len(study.trials)) as bar:
        while len(study.trials) < search.trials:
            if search.minutes and study.complete and time.monotonic() - started > 60 * search.minutes:
                console.print(f"{search.minutes:g} minutes are over")
                break
            trial = study.ask(distributions if study.trials else {})
            _train(study, trial, given, bar, lock)
            bar.update(bar.task_ids[0], completed=len(study.trials))
            kept = _keep(study, given, kept)
    if kept < 0:  # the minutes were over at once
        _keep(study, given)


def _train(study: Study, trial: Trial, given: Settings, bar: Progress, lock: int) -> None:
    """One training, from the question to its place in the journal."""
    settings = space.applied(given, trial.params)
    metric, number = f"validation_recall_{study.k}", trial.number
    told = f"{number:>3}  {results.words(trial.params)}"

    def watch(point: trainer.Point) -> bool:
        trial.report(point[metric], int(point["epoch"]))
        doing = f"training {number}, epoch {point['epoch']:.0f}, Recall@{study.k} {point[metric]:.4f}"
        bar.update(bar.task_ids[0], description=doing)
        return trial.should_prune()

    if earlier := _earlier(study, given, settings):
        study.repeat(trial, earlier)
        bar.console.print(f"{told}: as training {earlier.number}, not repeated")
        return
    bar.update(bar.task_ids[0], description=f"training {number}, reading")
    folder = study.folder_of(trial.params)
    text = settings.config.model_dump_json(exclude_defaults=True)
    options = replace(settings.options, output_path=str(folder / trainer.MODEL), feature_config=text)
    try:
        document = trainer.train(options, watch, (lock,))
    except trainer.EndedError as error:
        study.interrupt(number)
        remedy = "Run the same command again; with less in the search space where memory ran out."
        raise InputError(f"training {number} ({results.words(trial.params)})", str(error), "its end", remedy) from None
    except trainer.TrainingError as error:
        if not trial.params:
            study.interrupt(number)
            expected, remedy = "a model", "Correct that, and run the same command again."
            raise InputError("the first training, with the settings as given", str(error), expected, remedy) from None
        trial.set_user_attr(studies.ERROR, str(error))
        study.study.tell(trial, state=TrialState.FAIL)
        shutil.rmtree(options.checkpoints, ignore_errors=True)
        bar.console.print(f"{told}: failed: {error}")
        return
    if document is None:
        shutil.rmtree(folder)
        study.study.tell(trial, state=TrialState.PRUNED)
        epoch = study.study.trials[number].last_step
        bar.console.print(f"{told}: given up after epoch {epoch}, below the median")
        return
    figures = results.figures(document)
    trial.set_user_attr(results.FIGURES, figures)
    study.study.tell(trial, figures["validation"][metric])
    note = ", the best so far" if trial.params and study.complete[0].number == number else ""
    seconds = f"{figures['seconds']:.0f} s"
    bar.console.print(f"{told}: Recall@{study.k} {figures['validation'][metric]:.4f}, {seconds}{note}")


def _earlier(study: Study, given: Settings, settings: Settings) -> FrozenTrial | None:
    """A training that had these settings before, however they were said."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED)  # what failed may have failed for want of disk
    return next(
        (trial for trial in study.trials if trial.state in ended and space.applied(given, trial.params) == settings),
        None,
    )


def _keep(study: Study, given: Settings, kept: int = -1) -> int:
    """Writes tuning.json and the picture, and best/ unless the training `kept` still is the best; returns which is."""
    best = study.complete[0]
    if best.number != kept:
        results.keep(study, space.applied(given, best.params), best)
    results.drop_others(study)
    results.write(study)
    return int(best.number)


def _expect_possible(options: Options, k: int) -> None:
    """Raises InputError for what no training of a search can have, and for paths that hold something else."""
    for name, expected in RESERVED.items():
        if getattr(options, name):
            flag = f"--{name.replace('_', '-')}"
            raise InputError(flag, str(getattr(options, name)), expected, "Leave it out.")
    if storage.is_remote(options.output_path):
        expected, remedy = "a local folder", "Choose one, and copy best/ from there."
        raise InputError("--output-path", options.output_path, expected, remedy)
    if "TF_CONFIG" in os.environ:
        raise InputError("TF_CONFIG", "a cluster", "one machine: its workers would search apart", "Unset it.")
    if not options.metadata_path:
        raise InputError("--metadata-path", "nothing", "metadata.json, with the products", "Name it.")
    described = example_metadata.read(options.metadata_path).products or {}
    tokens = read_vocabularies(options.vocabularies_path).get(schema.PRODUCT, {}).get("tokens", ())
    products = sum(token in described for token in tokens)
    known = within(products)
    if k not in known:
        raise InputError("--k", str(k), f"one of {', '.join(map(str, known))}", "Choose one of them.")


def _bar(console: Console, trials: int, done: int) -> Progress:
    columns = (
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    bar.add_task("", total=trials, completed=done)
    return bar


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ends the search at SIGTERM as at Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
