"""The steps of a run, as a person sees them."""

import io
import re

import pytest
from rich.console import Console

from pipelines import console


def shown(is_terminal: bool, width: int = 200) -> str:
    """What a console gets of a run of two steps."""
    file = io.StringIO()
    steps = console.Steps(Console(file=file, force_terminal=is_terminal, width=width, color_system=None))
    with steps.shown():
        steps.started("data-extractor")
        steps.said("data-extractor", "Querying purchases ...")
        steps.said("data-extractor", "warning: [all] rows are old")
        rows = {"train_rows": 489159, "validation_rows": 91715, "test_rows": 30581, "products": 1500}
        steps.ended("data-extractor", rows)
        steps.started("exporter")
        steps.said("exporter", "Proving it ...")
        steps.said("exporter", "Loading faiss.")
        if is_terminal:
            file.write(str(steps._progress()))
        steps.ended("exporter", {"promoted": 1, "lists": 1725, "mismatches": 0})
    assert re.fullmatch(r"data-extractor \d+ s, exporter \d+ s", steps.times())
    return file.getvalue()


def test_elsewhere_a_step_is_a_line_when_it_has_ended() -> None:
    assert [re.sub(r" +", " ", line) for line in shown(is_terminal=False).splitlines()] == [
        "data-extractor warning: [all] rows are old",
        "data-extractor 0 s 489,159 training rows, 91,715 validation, 30,581 test, 1,500 products",
        "exporter 0 s released: 1,725 lists proven, 0 mismatches",
    ]


def test_on_a_terminal_progress_is_shown_until_then() -> None:
    text = shown(is_terminal=True)
    assert "exporter           0 s  Proving it ..." in text
    assert "Loading faiss" not in text
    for line in shown(is_terminal=False).splitlines():
        assert line in text


def test_progress_is_one_line_however_narrow_the_terminal() -> None:
    narrow = Console(file=io.StringIO(), width=40)
    steps = console.Steps(narrow)
    steps.started("trainer")
    steps.said("trainer", "epoch   1/60  loss 7.1128 (chance 7.313)  validation recall @5 0.081")
    (line,) = narrow.render_lines(steps._progress())
    assert "".join(segment.text for segment in line) == "trainer            0 s  epoch   1/60  l…"


def test_two_runs_at_once_are_two_lines_that_say_which() -> None:
    console_ = Console(file=io.StringIO(), width=80)
    steps = console.Steps(console_)
    default, history = steps.of("default"), steps.of("history")
    default.started("evaluator")
    history.started("trainer")
    default.said("evaluator", "Reading train ...")
    assert steps._progress().plain.splitlines() == [
        "default  evaluator          0 s  Reading train ...",
        "history  trainer            0 s  ",
    ]
    default.ended("evaluator", {"promote": 1, "recall_5": 0.5})
    assert steps._progress().plain == "history  trainer            0 s  "
    assert console_.file.getvalue() == "default  evaluator          0 s  Recall@5 .500 on test: to be released\n"  # type: ignore[attr-defined]
    history.ended("trainer", {"best_epoch": 1})
    assert steps.times() == "evaluator 0 s, trainer 0 s"


@pytest.mark.parametrize(
    ("step", "metrics", "expected"),
    [
        ("vocab-builder", {"train_rows": 9, "a_tokens": 12, "b_tokens": 1500}, "tokens: 1,500 b, 12 a"),
        (
            "trainer",
            {"best_epoch": 45, "validation_recall_5": 0.1474, "validation_recall_100": 0.4785, "test_recall_5": 0.1},
            "Recall@5/100 .147 .478 on validation, best epoch 45",
        ),
        (
            "evaluator",
            {"recall_10": 0.239, "recall_5": 0.167, "popularity_recall_5": 0.08, "promote": 0},
            "Recall@5/10 .167 .239 on test: not to be released",
        ),
        ("exporter", {"promoted": 0}, "not released"),
        ("another", {"x": 1}, ""),
    ],
)
def test_what_a_step_found(step: str, metrics: dict, expected: str) -> None:
    assert console.found(step, metrics) == expected
