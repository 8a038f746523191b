"""Every command answers at once: nothing that takes long to import is imported before the flags are read."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


def run(module: str, *arguments: str) -> tuple[int, set[str]]:
    """The exit code of a command, and what it imported of HEAVY."""
    command = [sys.executable, "-X", "importtime", "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert lines, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in lines}
    return done.returncode, imported & set(HEAVY)


def test_help_comes_before_heavy_imports() -> None:
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(COMMANDS, pool.map(run, COMMANDS.keys(), COMMANDS.values()), strict=True))
    assert found == dict.fromkeys(COMMANDS, (0, set()))


def test_so_does_the_answer_to_a_wrong_flag() -> None:
    paths = ("--tfrecords-path", "--vocabularies-path", "--metadata-path", "--output-path")
    needed = [argument for path in paths for argument in (path, "nowhere")]
    assert run("trainer_image.main", *needed, "--epochs", "0") == (2, set())


def test_no_command_is_left_out() -> None:
    files = [path.relative_to(ROOT) for path in (*ROOT.glob("*.py"), *ROOT.glob("[!.]*/**/*.py"))]
    ours = [path for path in files if path.parts[0] != "tests"]
    started = {
        ".".join(path.with_suffix("").parts).removesuffix(".__main__")
        for path in ours
        if '\nif __name__ == "__main__":\n' in (ROOT / path).read_text(encoding="utf-8")
    }
    assert started - OTHERS == COMMANDS.keys()
