"""Every command answers at once: nothing that takes long to import is imported before the flags are read."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = (
    "apache_beam",
    "duckdb",
    "google.api_core",
    "google.cloud",
    "keras",
    "kfp",
    "matplotlib",
    "optuna",
    "pandas",
    "scipy",
    "sklearn",
    "tensorflow",
    "tensorflow_recommenders",
    "tf_keras",
    "torch",
)
COMMANDS = {
    "benchmarks.data": "--help",
    "benchmarks.eval": "--help",
    "benchmarks.quality": "--help",
    "benchmarks.recall": "--help",
    "benchmarks.scale": "--help",
    "benchmarks.serve": "--help",
    "benchmarks.train": "--help",
    "benchmarks.warm_start": "--help",
    "compile": "--help",
    "components.common.feature_config": "--schema",
    "components.data_extractor": "--help",
    "components.evaluator": "--help",
    "components.exporter": "--help",
    "components.exporter.vertex": "--help",
    "components.vocab_builder": "--help",
    "demo.run": "--help",
    "demo.serve": "--help",
    "demo.tune": "--help",
    "pipelines.vertex": "--help",
    "serving_image.main": "--help",
    "trainer_image.main": "--help",
    "tuning": "--help",
}
# What takes no flags: other programs start it, or it only measures.
OTHERS = {
    "benchmarks.processes",
    "benchmarks.train_recall",
    "components.common.imports",
    "components.exporter.verify",
    "demo.recommendations",
    "pipelines.local_component",
    "pipelines.local_process",
}


# Forks for every command: starting Python and importing what all of them share is done once.
PROGRAM = """
import contextlib, io, json, os, runpy, sys
import numpy, pydantic, rich.console, tyro, yaml
heavy, commands = json.load(sys.stdin)
there = set(sys.modules)  # an empty google.cloud too, made by a .pth file
def loaded():
    modules = set(sys.modules) - there
    return sorted({name for name in heavy for module in modules if f"{module}.".startswith(f"{name}.")})
assert not there & (set(heavy) - {"google.cloud"}), there & set(heavy)
for module, *arguments in commands:
    out, into = os.pipe()
    if not os.fork():
        sys.argv = [module, *arguments]
        code = 0
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as error:
                code = error.code or 0
        os.write(into, json.dumps([module, code, loaded()]).encode())
        os._exit(0)
    os.close(into)
    print(os.read(out, 1 << 16).decode(), flush=True)
    os.close(out)
    os.wait()
"""


def run(*commands: tuple[str, ...]) -> dict[str, tuple[int, set[str]]]:
    """The exit code of every command, and what it imported of HEAVY."""
    asked = json.dumps([HEAVY, commands])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, input=asked, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    return {module: (code, set(heavy)) for module, code, heavy in map(json.loads, done.stdout.splitlines())}


def test_help_comes_before_heavy_imports() -> None:
    assert run(*COMMANDS.items()) == dict.fromkeys(COMMANDS, (0, set()))


def test_so_does_the_answer_to_a_wrong_flag() -> None:
    paths = ("--tfrecords-path", "--vocabularies-path", "--metadata-path", "--output-path")
    needed = [argument for path in paths for argument in (path, "nowhere")]
    assert run(("trainer_image.main", *needed, "--epochs", "0")) == {"trainer_image.main": (2, set())}


def test_no_command_is_left_out() -> None:
    files = [path.relative_to(ROOT) for path in (*ROOT.glob("*.py"), *ROOT.glob("[!.]*/**/*.py"))]
    ours = [path for path in files if path.parts[0] != "tests"]
    started = {
        ".".join(path.with_suffix("").parts).removesuffix(".__main__")
        for path in ours
        if '\nif __name__ == "__main__":\n' in (ROOT / path).read_text(encoding="utf-8")
    }
    assert started - OTHERS == COMMANDS.keys()
