"""The demo's models: runs of the compiled pipeline, all on the data of the first."""

import os
import shlex
from pathlib import Path
from typing import Any

import compile as compiler
from components.common import feature_config, storage
from components.common.errors import InputError
from components.common.shipped import FEATURE_CONFIG
from pipelines import local
from pipelines.console import Steps
from pipelines.job import declared
from pipelines.steps import RETRAINING, STEPS

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = {"default": FEATURE_CONFIG, "history": "feature_config_history.yaml"}
RUN = "metro-recs-training"  # the runs' folders, before their time
MODEL, EXAMPLES = "trainer/model", "data-extractor/examples"  # in a run's folder
EVALUATION, RELEASE = "evaluator/evaluation", "exporter/release"
DATA = {"examples": "data-extractor", "vocabularies": "vocab-builder"}  # what models may share, and who makes it


class Models:
    """Runs the pipeline, from the Trainer on where there is data.

    Args:
        steps: Shows how far it is.
        parameters: Of the whole pipeline, but for feature config and champion.
        readable: A folder that the parameters name.
        docker: Run each component in its container image.
        reuse: The folder of an earlier run, for its examples and vocabularies.

    Attributes:
        folders: Of the runs, in their order.

    Raises:
        InputError: the earlier run has no data.
    """

    def __init__(self, steps: Steps, parameters: dict[str, Any], readable: str, docker: bool, reuse: str):
        self.steps, self.parameters, self.readable, self.docker = steps, parameters, readable, docker
        self.data = Path(reuse) if reuse else None
        self.columns: set[tuple[str, str]] | None = None  # that the data is known to hold
        self.folders: list[Path] = []
        if reuse and not has_data(Path(reuse)):
            expected, remedy = f"{' and '.join(DATA.values())} of a run", "Name another run, or leave --reuse out."
            raise InputError(f"--reuse {reuse}", "no data", expected, remedy)

    def make(self, root: str, config: str, champion: str) -> Path:
        """Makes a model and returns the folder of its run.

        Args:
            root: Where the run gets its folder.
            config: One of CONFIGS.
            champion: model/ of the model to compare with; "" for none.

        Raises:
            StepError: a component failed.
        """
        text = (ROOT / CONFIGS[config]).read_text(encoding="utf-8")
        columns = columns_of(text)
        if self.columns is not None and not columns <= self.columns:
            self.data = None  # what this model sees is not in the first one's
        folder = local.new_folder(root, RUN)
        given = {**self.parameters, "feature_config": text, "champion": champion and str(Path(champion).resolve())}
        readable = {self.readable, champion}
        if self.data:
            for name, step in DATA.items():
                (folder / step).symlink_to(os.path.relpath((self.data / step).resolve(), folder))
                given[name] = str((folder / step / name).resolve())
                readable.add(given[name])
        document = compiler.spec(component=RETRAINING if self.data else "")
        if not self.data:
            self.data, self.columns = folder, columns
        self.folders.append(folder)
        given = {name: value for name, value in given.items() if name in declared(document)}
        spec = folder / "pipeline.json"
        storage.write_json(str(spec), document)
        local.run(
            str(spec),
            root,
            given,
            docker=self.docker,
            readable=tuple(str(Path(path).resolve()) for path in readable if path),
            watcher=self.steps.of(config),
            folder=folder,
        )
        return folder

    def trained(self) -> bool:
        """Whether the first run has a model, and so the data, while its other steps go on."""
        return bool(self.folders) and is_done(self.folders[0] / "trainer")

    def left(self, arguments: list[str]) -> list[str]:
        """Lines on what is there after a run that was ended, and on how to go on from there.

        Args:
            arguments: The flags of this one.
        """
        done = [folder / step for folder in self.folders for step in STEPS if is_done(folder / step)]
        lines = [f"finished  {relative(step)}" for step in done if not step.is_symlink()]
        if self.folders and has_data(self.folders[-1]):
            *earlier, last = self.folders
            flags = list(arguments)
            if "--reuse" not in arguments:
                flags += ["--reuse", relative(last)]
            if earlier:
                flags += ["--champion", relative(earlier[0] / MODEL)]
            lines.append(f"go on     make run {shlex.quote('ARGS=' + shlex.join(flags).replace('$', '$$'))}")
        return lines


def columns_of(config: str) -> set[tuple[str, str]]:
    """What examples and vocabularies have to hold for a feature config: columns, each as a kind of feature."""
    # The history is of customers and products, which are always there.
    entries = (entry for entry in feature_config.load(config).entries() if entry.kind != "history")
    return {(str(entry.kind), name) for entry in entries for name in entry.columns}


def has_data(folder: Path) -> bool:
    """Whether a run has examples and vocabularies, made or shared."""
    return all(is_done(folder / step) for step in DATA.values())


def is_done(step: Path) -> bool:
    """Whether a step, given by its folder, is done."""
    return (step / local.OUTPUT).exists()


def relative(path: Path) -> str:
    """A path as short as it can be said here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
