"""Runs a compiled pipeline on this machine through kfp.local, each component a process or a container of its own."""

import collections
import contextlib
import copy
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from pipelines import containers, local_component, local_process, process_group, transcript
from pipelines.job import declared

ROOT = Path(__file__).resolve().parent.parent
LOG, OUTPUT = "log.txt", "executor_output.json"  # in a step's folder
METRICS = "metrics"  # the output of every component that holds its metrics
PYTHON = "METRO_RECS_PYTHON"
LAUNCHER = "python3 -m kfp.dsl.executor_main"  # in a component's compiled command
OURS = f'"${PYTHON}" -m {local_component.__name__} kfp.dsl.executor_main'
LAST_WORDS = 15  # lines of a step that failed


class StepError(RuntimeError):
    """A step failed.

    Args:
        step: Its name.
        log: Where everything is that it printed; None where nothing is.
        said: Its last lines.
    """

    def __init__(self, step: str, log: Path | None, said: list[str]):
        self.step, self.log, self.said = step, log, said
        super().__init__(f"{step} failed: {self.bad_input or (said or ['it printed nothing'])[-1]}")

    @property
    def bad_input(self) -> str:
        """The sentence about bad input, where that is the reason."""
        return transcript.bad_input(self.said)


class Watcher:
    """Is told what a run does; this one keeps it to itself."""

    def started(self, step: str) -> None:
        """A step begins."""

    def said(self, step: str, line: str) -> None:
        """A step printed a line; what libraries print is left out."""

    def ended(self, step: str, metrics: dict[str, Any]) -> None:
        """A step succeeded; `metrics` is what it logged."""


def run(
    spec: str,
    root: str,
    parameters: dict[str, Any],
    docker: bool = False,
    readable: tuple[str, ...] = (),
    watcher: Watcher | None = None,
    folder: Path | None = None,
) -> dict[str, str]:
    """Runs the pipeline and returns where its artifacts are.

    However this ends, its processes have ended before.

    Args:
        spec: The compiled pipeline, as compile.py writes it.
        root: Folder for the artifacts; every run gets a folder of its own in it, and in there every step, with its log.
        parameters: The pipeline's parameters.
        docker: Run each component in its image, without network, instead of as a process.
        readable: Folders outside `root` that the parameters name; containers see nothing else.
        watcher: Is told how far the run is.
        folder: The run's, made by `new_folder`; by default one with the pipeline's name.

    Returns:
        {"component.artifact": path}, for example {"exporter.release": …}.

    Raises:
        InputError: a parameter that is missing or unknown, no Docker, or an image that is not on this machine.
        StepError: a component failed.
    """
    document = json.loads(Path(spec).read_text(encoding="utf-8"))
    user = containers.user_of(document) if docker else None
    _expect_parameters(document, parameters)
    os.makedirs(root, exist_ok=True)
    folder = folder or new_folder(root, document["pipelineInfo"]["name"])
    if user is not None:
        for path in (root, folder):
            containers.give(path, user)
    request = {
        "document": document if docker else _with_this_python(document),
        "parameters": parameters,
        "folder": str(folder),
        "user": user,
        "readable": sorted(set(readable)),
    }
    steps = _steps(document)
    with _process(request) as process:
        _follow(process, folder, steps, user, watcher or Watcher())
    made = {f"{step}.{artifact}": folder / step / artifact for step, names in steps.items() for artifact in names}
    return {name: str(path) for name, path in made.items() if path.exists()}


def new_folder(root: str, name: str) -> Path:
    """Makes a run's folder. Its name ends in the time, and is no other run's."""
    os.makedirs(root, exist_ok=True)
    while True:
        folder = Path(root).resolve() / f"{name}-{dt.datetime.now():%Y-%m-%d-%H-%M-%S-%f}"
        with contextlib.suppress(FileExistsError):  # a run that began in the same microsecond
            folder.mkdir()
            return folder


def _expect_parameters(document: dict[str, Any], parameters: dict[str, Any]) -> None:
    known = declared(document)
    name = document["pipelineInfo"]["name"]
    if unknown := sorted(set(parameters) - set(known)):
        raise InputError(f"parameters of {name}", unknown[0], f"one of {', '.join(sorted(known))}", "Correct the name.")
    for needed, kind in known.items():
        if needed not in parameters and not kind.get("isOptional"):
            raise InputError(f"parameters of {name}", f"nothing for {needed}", "a value", "Give one.")


def _with_this_python(document: dict[str, Any]) -> dict[str, Any]:
    """The pipeline, its components run by this interpreter and `local_component`.

    kfp.local would write the interpreter's path into a shell script as it is, and a path may hold spaces and quotes.
    """
    changed = copy.deepcopy(document)
    for executor in changed["deploymentSpec"]["executors"].values():
        if container := executor.get("container"):
            container["command"] = [part.replace(LAUNCHER, OURS) for part in container["command"]]
    return changed


def _steps(document: dict[str, Any]) -> dict[str, list[str]]:
    """The pipeline's steps with their artifacts; importers are none."""
    executors, found = document["deploymentSpec"]["executors"], {}
    for task in document["root"]["dag"]["tasks"].values():
        name = task["componentRef"]["name"]
        component = document["components"][name]
        if "container" in executors[component["executorLabel"]]:
            found[name.removeprefix("comp-")] = list(component.get("outputDefinitions", {}).get("artifacts", {}))
    return found


@contextlib.contextmanager
def _process(request: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """Starts `local_process`, and ends it with all that it started where the block fails."""
    with tempfile.TemporaryDirectory(prefix="metro-recs-", ignore_cleanup_errors=True) as scratch:
        file = Path(scratch, "request.json")
        file.write_text(json.dumps(request), encoding="utf-8")
        paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
        environment = {
            "PYTHONPATH": os.pathsep.join(paths),  # as in the images, whose working directory is the repository's root
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            "TMPDIR": scratch,  # where kfp leaves the components' code
            PYTHON: sys.executable,
        }
        try:
            with process_group.started([local_process.__name__, str(file)], environment) as process:
                yield process
        except BaseException:
            if request["user"] is not None:
                containers.end(Path(request["folder"]).name)
            raise


def _follow(
    process: subprocess.Popen[str], folder: Path, steps: Iterable[str], user: int | None, watcher: Watcher
) -> None:
    """Writes the steps' logs, tells the watcher, and raises StepError where one fails."""
    running, said = "", collections.deque[str](maxlen=LAST_WORDS)
    log, file = None, None
    with contextlib.ExitStack() as logs:
        for event in transcript.events(line.rstrip("\n") for line in process.stdout or ()):
            if event.kind == "started" and event.step in steps:  # importers only say that they are there
                running = event.step
                log = _log_of(folder / running, user)
                file = logs.enter_context(log.open("w", encoding="utf-8", buffering=1))
                said.clear()
                watcher.started(running)
            if file:
                print(event.line, file=file)
            if event.kind == "said":
                said.append(event.line)
                watcher.said(running, event.line)
            elif event.kind == "failed":
                break
            elif event.kind == "succeeded" and event.step in steps:
                # kfp takes a container that is gone before it was asked for a success; when done, a step writes this.
                if not (folder / running / OUTPUT).exists():
                    break
                watcher.ended(running, _metrics(folder / running / OUTPUT))
                running = ""
    if running or process.wait():
        raise StepError(running or "kfp.local", log, list(said))


def _log_of(step: Path, user: int | None) -> Path:
    """The log in a step's folder; both belong to a container's user, as what it writes there does."""
    step.mkdir(exist_ok=True)
    log = step / LOG
    log.touch()
    if user is not None:
        containers.give(step, user)
        containers.give(log, user)
    return log


def _metrics(output: Path) -> dict[str, Any]:
    """What a step logged, from what its executor wrote."""
    artifacts = json.loads(output.read_text(encoding="utf-8")).get("artifacts", {})
    return {
        name: value
        for each in artifacts.get(METRICS, {}).get("artifacts", ())
        for name, value in each["metadata"].items()
    }
