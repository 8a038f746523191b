"""What a person sees who gets a flag or a file wrong."""

import subprocess
import sys

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "module",
    [
        "components.data_extractor",
        "components.vocab_builder",
        "trainer_image.main",
        "components.evaluator",
        "components.exporter",
        "compile",
    ],
)
def test_help_explains_every_flag(module: str) -> None:
    done = run(module, "--help")
    assert done.returncode == 0, done.stderr
    assert "--output" in done.stdout


def test_bad_input_is_one_sentence_and_exit_code_2() -> None:
    done = run(
        "components.data_extractor",
        "--purchases",
        "nowhere.parquet",
        "--products",
        "nowhere.parquet",
        "--output-path",
        "never-written",
    )
    assert done.returncode == 2
    assert "nowhere.parquet" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_flag_is_refused() -> None:
    done = run("components.data_extractor", "--purchase", "x")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_switch_needs_no_value() -> None:
    assert run("compile", "--check").returncode == 0
