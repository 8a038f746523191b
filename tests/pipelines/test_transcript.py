"""What kfp.local 2.16.1 printed of a run, as events; and what components print, as progress."""

import sys

import pytest

from components.common import progress
from components.common.errors import InputError
from pipelines import transcript

# A run's output, but for most lines of the executor's input.
PRINTED = """\
13:50:53.426 - INFO - Executing task \x1b[96m'importer'\x1b[0m
13:50:53.426 - INFO - Task \x1b[96m'importer'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m
13:50:53.426 - INFO - Task \x1b[96m'importer'\x1b[0m outputs:
    artifact: Dataset( name='artifact',
                       uri='/runs/data-extractor/examples',
                       metadata={} )
--------------------------------------------------------------------------------
13:51:01.169 - INFO - Executing task \x1b[96m'vocab-builder'\x1b[0m
13:51:01.169 - INFO - Streamed logs:

    [KFP Executor 2026-11-29 13:51:01,264 INFO]: Looking for component `vocab_builder` in `/tmp/x/component.py`
    [KFP Executor 2026-11-29 13:51:01,265 INFO]: Got executor_input:
    {
        "inputs": {
            "parameterValues": {
                "beam_options": ""
            }
        }
    }
    WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
    I0000 00:00:1795960264.461438    2820 cudart_stub.cc:31] Could not find cuda drivers on your machine.
    2026-11-29 13:51:03.695315: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.
    warning: the rows are few
    Counting tokens: 489,159 rows (100%, 66,930 rows/s)
      tables    rows x  dim
    [KFP Executor 2026-11-29 13:51:10,660 INFO]: Wrote executor output file to /runs/vocab-builder/executor_output.json.


13:51:11.953 - INFO - Task \x1b[96m'vocab-builder'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m
13:51:11.956 - INFO - Task \x1b[96m'vocab-builder'\x1b[0m outputs:
    vocabularies: Artifact( name='vocabularies',
--------------------------------------------------------------------------------
13:51:11.959 - INFO - Executing task \x1b[96m'trainer'\x1b[0m
13:51:11.959 - INFO - Streamed logs:

    Traceback (most recent call last):
    components.common.errors.InputError: --epochs: found 0, expected 1 or more. Correct the value.


13:51:23.115 - ERROR - Task \x1b[96m'trainer'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m
--------------------------------------------------------------------------------
"""


def kinds(events: list[transcript.Event], *wanted: str) -> list[transcript.Event]:
    return [event for event in events if event.kind in wanted]


def test_steps_begin_and_end() -> None:
    events = list(transcript.events(PRINTED.splitlines()))
    assert [(kind, step) for kind, step, _ in kinds(events, "started", "succeeded", "failed")] == [
        ("started", "importer"),
        ("succeeded", "importer"),
        ("started", "vocab-builder"),
        ("succeeded", "vocab-builder"),
        ("started", "trainer"),
        ("failed", "trainer"),
    ]


def test_what_a_step_says_is_told_from_what_libraries_print() -> None:
    events = list(transcript.events(PRINTED.splitlines()))
    assert kinds(events, "said") == [
        ("said", "vocab-builder", "warning: the rows are few"),
        ("said", "vocab-builder", "Counting tokens: 489,159 rows (100%, 66,930 rows/s)"),
        ("said", "vocab-builder", "  tables    rows x  dim"),
        ("said", "trainer", "Traceback (most recent call last):"),
        (
            "said",
            "trainer",
            "components.common.errors.InputError: --epochs: found 0, expected 1 or more. Correct the value.",
        ),
    ]


def test_no_line_is_lost() -> None:
    lines = PRINTED.splitlines()
    events = list(transcript.events(lines))
    assert len(events) == len(lines)
    assert {event.step for event in events} == {"importer", "vocab-builder", "trainer"}
    assert not any("\x1b" in event.line for event in events)


def test_containers_print_many_lines_at_a_time_of_which_the_first_is_indented() -> None:
    printed = [
        "13:51:01.169 - INFO - Executing task 'trainer'",
        "    Reading train: 12 rows (3 rows/s)",
        "beginning with random weights",
        '{"not": "an executor input"}',
    ]
    said = [event.line for event in transcript.events(printed) if event.kind == "said"]
    assert said == [printed[1].strip(), *printed[2:]]


def test_what_comes_before_all_steps_is_kfp_local_s_complaint() -> None:
    (event,) = transcript.events(["ModuleNotFoundError: No module named 'kfp'"])
    assert event == ("said", "", "ModuleNotFoundError: No module named 'kfp'")


def test_progress_is_what_components_print(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("Proving it"):
        pass
    with progress.shown("Writing examples", 20):
        progress.advance(10)
    with progress.shown("Copying gs://bucket/x", unit="files"):
        progress.advance(1)
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 4
    for line in printed[:3]:
        assert transcript.progress(line) == line


@pytest.mark.parametrize(
    ("line", "is_progress"),
    [
        ("epoch   1/60  loss 7.1128 (chance 7.313)  validation recall @5 0.081  128,182 examples/s  4 s", True),
        ("repeats   1/20  loss 6.0399  validation recall @5 0.165 @10 0.236 @50 0.450 @100 0.560  9 s", True),
        ("ablation: without category and subcategory, seed 1", True),
        ("refit: training and validation split together, 12 epochs", True),
        ("warning: the model has collapsed", False),
        ("beginning with random weights", False),
        ("  tables    rows x  dim =    parameters       MiB", False),
        ("RuntimeError: 3 of them", False),
        ("ModuleNotFoundError(\"No module named 'faiss.swigfaiss_avx2'\")", False),
        ("{", False),
        ("", False),
    ],
)
def test_progress(line: str, is_progress: bool) -> None:
    assert transcript.progress(line) == (line if is_progress else "")


def test_bad_input_is_found_as_python_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = InputError("--epochs", "0", "1 or more", "Correct the value.")
    sys.excepthook(InputError, error, None)
    said = capsys.readouterr().err.splitlines()
    assert transcript.bad_input(said) == "--epochs: found 0, expected 1 or more. Correct the value."
    assert not transcript.bad_input(["Traceback (most recent call last):", "ValueError: x"])
