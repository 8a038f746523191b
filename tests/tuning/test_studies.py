"""A search that is opened again: what comes next, and what counts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from components.common import feature_config as fc
from components.common.errors import InputError
from tests.toy_shops import Shop
from tuning import studies
from tuning.space import Settings
from tuning.studies import Study

SPACE = {"l1": FloatDistribution(0.0, 1.0)}


def reopened(folder: Path, shop: Shop, **changes: Any) -> Study:
    given = Settings(shop.options(folder, **changes), fc.load("feature_config.yaml"))
    with studies.locked(folder):
        return studies.opened(folder, given, 5, SPACE)


def test_a_call_does_not_repeat_what_an_earlier_one_proposed(tmp_path: Path, shop: Shop) -> None:
    proposed = []
    for _ in range(3):
        study = reopened(tmp_path / "search", shop)
        for _ in range(3):
            trial = study.ask(SPACE)
            proposed.append(trial.params["l1"])
            study.study.tell(trial, 0.5)
    assert len(set(proposed)) == 9


def test_what_was_running_comes_again_and_counts_once(tmp_path: Path, shop: Shop) -> None:
    running = reopened(tmp_path / "search", shop).ask(SPACE)
    study = reopened(tmp_path / "search", shop)
    assert study.trials == []
    again = study.ask(SPACE)
    assert again.params == running.params
    study.study.tell(again, 0.5)
    assert [trial.params for trial in study.trials] == [running.params]


def test_what_had_failed_does_not_come_again(tmp_path: Path, shop: Shop) -> None:
    failed = reopened(tmp_path / "search", shop).ask(SPACE)
    failed.set_user_attr(studies.ERROR, "no")
    study = reopened(tmp_path / "search", shop)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    assert study.ask(SPACE).params != failed.params


def test_two_at_once(tmp_path: Path) -> None:
    with (
        studies.locked(tmp_path / "search"),
        pytest.raises(InputError, match="found a search, or its Trainer, that is still running"),
        studies.locked(tmp_path / "search"),
    ):
        pass


def test_a_trainer_outlives_its_search(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    with studies.locked(folder) as lock:
        trainer = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    try:
        with pytest.raises(InputError, match="Wait for it, or end its process"), studies.locked(folder):
            pass
    finally:
        trainer.communicate(b"\n")
    with studies.locked(folder):
        pass


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 9}, "--epochs 4 there, 9 now"),
        ({"history_through": "train"}, "--history-through validation there, train now"),
    ],
)
def test_another_search(tmp_path: Path, shop: Shop, changes: dict[str, Any], said: str) -> None:
    reopened(tmp_path / "search", shop)
    with pytest.raises(InputError, match=rf"found a search with other settings \({said}\), expected"):
        reopened(tmp_path / "search", shop, **changes)


def test_a_line_that_was_not_written_to_its_end(tmp_path: Path, shop: Shop) -> None:
    study = reopened(tmp_path / "search", shop)
    study.study.tell(study.ask(SPACE), 0.5)
    journal = tmp_path / "search" / studies.JOURNAL
    whole = journal.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    journal.write_bytes(whole + last[: len(last) // 2])
    study = reopened(tmp_path / "search", shop)
    assert [trial.value for trial in study.trials] == [0.5]
    study.study.tell(study.ask(SPACE), 0.25)
    assert [trial.value for trial in reopened(tmp_path / "search", shop).trials] == [0.5, 0.25]


@pytest.mark.parametrize("content", [b"\xff\n", b"[" * 5_000 + b"\n", b"1\n", b"{}\n"])
def test_a_damaged_journal(tmp_path: Path, shop: Shop, content: bytes) -> None:
    reopened(tmp_path / "search", shop)
    (tmp_path / "search" / studies.JOURNAL).write_bytes(content)
    with pytest.raises(InputError, match=r"study\.journal: found damage"):
        reopened(tmp_path / "search", shop)


def test_a_search_ends_as_an_earlier_one_with_its_settings(tmp_path: Path, shop: Shop) -> None:
    study = reopened(tmp_path / "search", shop)
    first, second, third = (study.ask({}) for _ in range(3))
    first.set_user_attr("figures", {"seconds": 3})
    study.study.tell(first, 0.5)
    study.repeat(second, study.trials[0])
    third.report(0.25, 1)
    study.study.tell(third, state=TrialState.PRUNED)
    given_up = study.ask({})
    study.repeat(given_up, study.trials[2])
    assert [(trial.state, trial.value, trial.user_attrs) for trial in study.trials] == [
        (TrialState.COMPLETE, 0.5, {"figures": {"seconds": 3}}),
        (TrialState.COMPLETE, 0.5, {"figures": {"seconds": 3}, "repeats": 0}),
        (TrialState.PRUNED, 0.25, {}),
        (TrialState.PRUNED, 0.25, {"repeats": 2}),
    ]
