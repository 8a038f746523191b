"""The demo's models: runs of the compiled pipeline, all on the data of the first."""

import os
import shlex
from collections.abc import Callable
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
        folder, shared = self._begun(root, config)
        self._run(folder, config, RETRAINING if shared else "", champion)
        return folder

    def make_beside(self, root: str, config: str, champion: Callable[[], Path]) -> Path:
        """As `make`, while another run on the same data goes on, which makes the champion.

        Args:
            root: Where the run gets its folder.
            config: One of CONFIGS.
            champion: Waits for that run's model/, and returns it.
        """
        if self.columns is not None and not columns_of(text_of(config)) <= self.columns:
            return self.make(root, config, str(champion()))
        folder, _ = self._begun(root, config)
        self._run(folder, config, "trainer")
        for component in ("evaluator", "exporter"):
            self._run(folder, config, component, str(champion()))
        return folder

    def has_data(self) -> bool:
        """Whether the first run has made the data, while its other steps go on."""
        return bool(self.folders) and has_data(self.folders[0])

    def has_model(self) -> bool:
        """Whether it has its model."""
        return bool(self.folders) and is_done(self.folders[0] / "trainer")

    def _begun(self, root: str, config: str) -> tuple[Path, bool]:
        """A run's new folder, and whether it holds another one's data, or is to have data of its own."""
        columns = columns_of(text_of(config))
        if self.columns is not None and not columns <= self.columns:
            self.data = None  # what this model sees is not in the first one's
        folder = local.new_folder(root, RUN)
        shared = self.data
        if shared:
            for step in DATA.values():
                (folder / step).symlink_to(os.path.relpath((shared / step).resolve(), folder))
        else:
            self.data, self.columns = folder, columns
        self.folders.append(folder)
        return folder, bool(shared)

    def _run(self, folder: Path, config: str, component: str, champion: str = "") -> None:
        """Runs the pipeline, or a part of it on what is in the folder.

        Args:
            folder: The run's.
            config: One of CONFIGS.
            component: See compile.spec.
            champion: model/ of the model to compare with; "" for none.
        """
        made = {name: folder / step / name for name, step in DATA.items()}
        made |= {"model": folder / MODEL, "evaluation": folder / EVALUATION}
        given = {
            **self.parameters,
            "feature_config": text_of(config),
            "champion": champion and str(Path(champion).resolve()),
            **{name: str(path.resolve()) for name, path in made.items()},
        }
        document = compiler.spec(component=component)
        spec = folder / f"{component or 'pipeline'}.json"
        storage.write_json(str(spec), document)
        readable = {self.readable, champion, *(given[name] for name in DATA)}
        local.run(
            str(spec),
            str(folder.parent),
            {name: value for name, value in given.items() if name in declared(document)},
            docker=self.docker,
            readable=tuple(str(Path(path).resolve()) for path in readable if path and Path(path).exists()),
            watcher=self.steps.of(config),
            folder=folder,
        )

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
            if earlier and is_done(earlier[0] / "trainer"):
                flags += ["--champion", relative(earlier[0] / MODEL)]
            lines.append(f"go on     make run {shlex.quote('ARGS=' + shlex.join(flags).replace('$', '$$'))}")
        return lines


def text_of(config: str) -> str:
    return (ROOT / CONFIGS[config]).read_text(encoding="utf-8")


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
