"""The record of a search: Optuna's journal, a file that grows by a line for everything that happens."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from components.common import disk, storage
from components.common.errors import InputError
from trainer_image.options import AFTERWARDS, OF_THE_MACHINE, PATHS
from tuning.space import Settings

JOURNAL, TRIALS, LOCK = "study.journal", "trials", "lock"
GIVEN = "given"  # the folder of the training with the settings as they were given
NAME = "metro-recs"
BY_CHANCE = 8  # trainings before the estimator proposes any
COMPARED, FROM_EPOCH = 5, 15  # finished trainings, and epochs, before one is given up: low rates begin slowly
# Noted beside a study; beside a training that failed; beside one that ended as an earlier one, which is not trained.
IDENTITY, ERROR, REPEATS = "identity", "error", "repeats"


class Study:
    """The trainings of one search.

    Attributes:
        folder: Where everything of the search is.
        k: Validation Recall@k is what counts.
    """

    def __init__(self, folder: Path, k: int, study: optuna.Study):
        self.folder, self.k, self.study = folder, k, study

    @property
    def trials(self) -> list[FrozenTrial]:
        """Those that ended by themselves, in the order in which they began: the given settings first."""
        return [trial for trial in self.study.trials if trial.state.is_finished() and not _is_interrupted(trial)]

    @property
    def complete(self) -> list[FrozenTrial]:
        """Those that have a model's figures, the best first; of equals the earlier one."""
        found = [trial for trial in self.trials if trial.state is TrialState.COMPLETE]
        return sorted(found, key=lambda trial: (-(trial.value or 0.0), trial.number))

    def ask(self, distributions: Mapping[str, BaseDistribution]) -> Trial:
        """The next training: one that was interrupted, or what the estimator proposes."""
        return self.study.ask(dict(distributions))

    def repeat(self, trial: Trial, earlier: FrozenTrial) -> None:
        """Ends a training as an `earlier` one with its settings ended: the same seed would give the same model."""
        for name, value in {**earlier.user_attrs, REPEATS: earlier.number}.items():
            trial.set_user_attr(name, value)
        if earlier.state is TrialState.COMPLETE:
            self.study.tell(trial, earlier.value)
            return
        for epoch, value in earlier.intermediate_values.items():
            trial.report(value, epoch)
        self.study.tell(trial, state=earlier.state)

    def interrupt(self, trial: int) -> None:
        """Counts a training as none: the same settings come again with the next `ask`."""
        self.study.tell(trial, state=TrialState.FAIL)
        self.study.enqueue_trial(self.study.trials[trial].params)

    def folder_of(self, parameters: Mapping[str, Any]) -> Path:
        """Where a training's files are: the same settings have the same folder, so that it goes on in there."""
        text = json.dumps(dict(parameters), sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:8] if parameters else GIVEN
        return self.folder / TRIALS / name


def _is_interrupted(trial: FrozenTrial) -> bool:
    """Whether it failed for no reason of its own."""
    return trial.state is TrialState.FAIL and ERROR not in trial.user_attrs


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Yields a file descriptor: as long as anybody holds it, a Trainer that was given it too, no other call may begin.

    Raises:
        InputError: the folder holds something that is no search, or a search or its Trainer is still running in it.
    """
    if not (folder / JOURNAL).exists() and not (folder / LOCK).exists():
        storage.refuse_overwrite(str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found, remedy = "a search, or its Trainer, that is still running", "Wait for it, or end its process."
            raise InputError(str(folder), found, "none", remedy) from None
        yield file.fileno()


def opened(folder: Path, given: Settings, k: int, distributions: Mapping[str, BaseDistribution]) -> Study:
    """The search in a folder that is `locked`: a new one, or an earlier one that goes on.

    Raises:
        InputError: it is a search of other data, settings or space, or its journal is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _explained(folder / JOURNAL):
        study = _read(folder / JOURNAL)
    # Another seed for every call: with the same one, the estimator would propose what it proposed before.
    seed = given.options.seed + len(study.trials)
    study.sampler = optuna.samplers.TPESampler(n_startup_trials=BY_CHANCE, seed=seed)
    ours = identity(given, k, distributions)
    theirs = study.user_attrs.get(IDENTITY)
    if theirs is None:
        study.set_user_attr(IDENTITY, ours)
    else:
        changed = ", ".join(_differences(ours, theirs))
        if changed:
            found, expected = f"a search with other settings ({changed})", "the search that is asked for, or nothing"
            raise InputError(str(folder), found, expected, "Give --output-path another folder, or delete this one.")
    opened = Study(folder, k, study)
    for trial in study.trials:
        if trial.state is TrialState.RUNNING and ERROR in trial.user_attrs:
            study.tell(trial.number, state=TrialState.FAIL)
        elif trial.state is TrialState.RUNNING:  # its process was ended
            opened.interrupt(trial.number)
    return opened


@contextmanager
def _explained(journal: Path) -> Iterator[None]:
    """Says in an InputError that a journal is damaged: Optuna goes through its lines as they come."""
    try:
        yield
    except Exception as error:
        if found := disk.fault(error, str(journal)):
            raise found from None
        said = " ".join(f"{type(error).__name__}: {error}".split())
        expected, remedy = "the journal of a search", "Give --output-path another folder, or delete this one."
        raise InputError(str(journal), f"damage ({said})", expected, remedy) from error


def _read(journal: Path) -> optuna.Study:
    """The study of a journal, which begins here where there is none."""
    _mend(journal)
    return optuna.create_study(
        study_name=NAME,
        storage=JournalStorage(JournalFileBackend(str(journal))),
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=COMPARED, n_warmup_steps=FROM_EPOCH),
    )


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """What is not the same in two identities: flags with both values, of files that they differ."""
    for name, value in ours["flags"].items():
        before = theirs["flags"].get(name)
        if value != before:
            yield f"--{name.replace('_', '-')} {before} there, {value} now"
    for name in ours:
        if name != "flags" and ours[name] != theirs.get(name):
            yield f"--k {theirs.get(name)} there, {ours[name]} now" if name == "k" else f"another {name}"


def _mend(journal: Path) -> None:
    """Cuts off a last line that was not written to its end, when the disk was full or the machine went down."""
    if journal.exists():
        lines, end, _ = journal.read_bytes().rpartition(b"\n")
        os.truncate(journal, len(lines + end))


def identity(given: Settings, k: int, distributions: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """What must be the same when a search goes on."""
    left_out = {*PATHS, *OF_THE_MACHINE, *AFTERWARDS} - {"history_through"}  # which decides what test Recall is of
    options = {name: value for name, value in asdict(given.options).items() if name not in left_out}
    text = {
        "data": storage.read_text(given.options.metadata_path, "the examples' metadata"),
        "vocabularies": storage.read_text(given.options.vocabularies_path, "the vocabularies"),
        "feature config": given.config.model_dump_json(),
        "search space": json.dumps({name: repr(values) for name, values in distributions.items()}, sort_keys=True),
    }
    digests = {name: hashlib.sha256(content.encode()).hexdigest()[:12] for name, content in text.items()}
    return {**digests, "flags": options, "k": k}
