"""A pipeline of two small components, and a program that runs it as `make run` runs the real one.

`python -m tests.pipelines.tiny FOLDER KIND RUNS` runs it in FOLDER; the first component does what KIND says:

- meet: waits until RUNS of them run in FOLDER, and warns.
- bad: finds bad input.
- crash: fails.
- hang: starts a process, writes both ids to FOLDER/pids, and waits for ever.
"""

import sys
import tempfile
from pathlib import Path

from kfp import compiler, dsl
from rich.console import Console

from demo.models import Models
from demo.run import explained
from pipelines import local
from pipelines.console import Steps


@dsl.component(base_image="python", install_kfp_package=False)
def first(folder: str, kind: str, runs: int, text: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]) -> None:
    import os
    import subprocess
    import sys
    import time

    from components.common.errors import InputError

    if kind == "bad":
        raise InputError("--kind", "bad", "a good one", "Be good.")
    if kind == "crash":
        print("about to fail")
        raise RuntimeError("this is the end")
    if kind == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        with open(f"{folder}/pids.partial", "w") as file:
            file.write(f"{os.getpid()} {child.pid}")
        os.rename(f"{folder}/pids.partial", f"{folder}/pids")
        time.sleep(3600)
    with open(f"{folder}/met-{os.getpid()}", "w"):
        pass
    while sum(name.startswith("met-") for name in os.listdir(folder)) < runs:
        time.sleep(0.05)
    print("warning: it is only a test")
    print("Meeting: 1.0 s")
    with open(text.path, "w") as file:
        file.write("met")
    metrics.log_metric("met", runs)


@dsl.component(base_image="python", install_kfp_package=False)
def second(text: dsl.Input[dsl.Dataset], twice: dsl.Output[dsl.Dataset]) -> None:
    with open(text.path) as file, open(twice.path, "w") as out:
        out.write(2 * file.read())


@dsl.pipeline(name="tiny")
def pipeline(folder: str, kind: str, runs: int = 1) -> None:
    made = first(folder=folder, kind=kind, runs=runs)
    second(text=made.outputs["text"])


def main(folder: str, kind: str, runs: str) -> None:
    steps = Steps(Console(soft_wrap=True))
    models = Models(steps, {}, "", docker=False, reuse="")
    with tempfile.TemporaryDirectory() as work:
        spec = f"{work}/tiny.json"
        compiler.Compiler().compile(pipeline, spec)
        models.folders.append(local.new_folder(folder, "tiny"))
        with explained(models), steps.shown():
            given = {"folder": folder, "kind": kind, "runs": int(runs)}
            made = local.run(spec, folder, given, watcher=steps, folder=models.folders[0])
    print(*(f"{name}={Path(path).read_text()}" for name, path in made.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
