"""When a training is over, and the schedule that decides it, worked out by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.toy_shops import Shop
from tests.trainings import without_export
from trainer_image import loop, optimizer, resume
from trainer_image.checkpoint import Checkpoints, Saved
from trainer_image.state import State


def is_over(epoch: int, best: int, warmup: int, *, patience: int = 3, epochs: int = 20) -> bool:
    """After whole epochs of 10 steps."""
    run: Any = SimpleNamespace(steps_per_epoch=10, epochs=epochs, patience=patience)
    return loop.is_over(run, State(step=10 * epoch, warmup=warmup, best_epoch=best))


@pytest.mark.parametrize(
    ("epoch", "best", "warmup", "expected"),
    [
        (0, 0, 0, False),  # nothing has begun
        (1, 1, 0, False),
        (4, 2, 0, False),  # two epochs brought nothing
        (5, 2, 0, True),  # three
        (5, 2, 10, True),  # the first epoch alone was warm
        (5, 1, 20, True),  # epochs 1 and 2 were warm: 3, 4 and 5 count
        (5, 1, 21, False),  # a step of epoch 3 was warm too, so only 4 and 5 count
        (6, 1, 21, True),
        (12, 1, 100, False),  # 11 and 12
        (13, 1, 100, True),
        (13, 11, 100, False),  # the best one came after the warm-up: counted from there
        (14, 11, 100, True),
        (20, 20, 0, True),  # the epochs are over
        (20, 20, 200, True),
        (21, 21, 0, True),  # a run that goes on with fewer epochs
    ],
)
def test_patience_counts_after_the_warm_up(epoch: int, best: int, warmup: int, expected: bool) -> None:
    assert is_over(epoch, best, warmup) is expected


@pytest.mark.parametrize(
    ("asked", "steps", "expected"),
    [
        (1000, 10_000, 1000),
        (1000, 9_999, 999),
        (1000, 2_100, 210),  # 150 epochs of 14 steps
        (50, 2_100, 50),
        (0, 2_100, 0),
        (1000, 9, 0),  # a tenth of nine steps is none
    ],
)
def test_a_warm_up_takes_at_most_a_tenth_of_the_steps(asked: int, steps: int, expected: int) -> None:
    assert optimizer.warmup_in_force(asked, steps) == expected


@pytest.mark.parametrize(("warmup", "expected"), [(0, 0), (1, 1), (14, 1), (15, 2), (210, 15)])
def test_epochs_that_a_warm_up_is_part_of(warmup: int, expected: int) -> None:
    assert loop.warm_epochs(warmup, 14) == expected


@pytest.mark.parametrize(
    ("begun_with", "asked", "in_force", "expected"),
    [
        (None, 1000, 210, 210),  # nothing was begun
        ((1000, 210), 1000, 300, 210),  # more epochs now
        ((1000, 210), 1000, 70, 210),  # fewer
        ((1000, 210), 50, 50, 50),  # another warm-up is asked for
    ],
)
def test_a_run_goes_on_in_the_warm_up_that_it_began(
    begun_with: tuple[int, int] | None, asked: int, in_force: int, expected: int
) -> None:
    saved = None
    if begun_with:
        identity = {"changeable": {"warmup_steps": begun_with[0]}}
        saved = Saved({}, {"identity": identity, "state": {"step": 100, "warmup": begun_with[1]}})
    assert resume.warmup(saved, asked, in_force) == expected


@pytest.mark.slow
def test_more_epochs_do_not_lower_the_rate_of_a_run_that_is_under_way(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four epochs of 20 steps allow a warm-up of 8; forty would allow all 30 that are asked for."""
    monkeypatch.setattr(Checkpoints, "is_due", lambda _, epoch_ended: epoch_ended)
    end_epoch = loop.end_epoch

    def ended(run: loop.Run, state: State) -> None:
        if state.step == 40:
            raise KeyboardInterrupt
        end_epoch(run, state)

    monkeypatch.setattr(loop, "end_epoch", ended)
    settings = {"warmup_steps": 30, "patience": 40}
    with pytest.raises(KeyboardInterrupt):
        without_export(shop.options(tmp_path / "model", epochs=4, **settings))
    monkeypatch.setattr(loop, "end_epoch", end_epoch)
    document = without_export(shop.options(tmp_path / "model", epochs=40, refit=True, **settings))
    assert document["hyperparameters"]["warmup_steps"] == 30
    assert document["hyperparameters"]["warmup_steps_in_force"] == 8
    said = capsys.readouterr().out
    assert "4 epochs of 20 steps: 80 at most; warm-up over 8 steps, not 30: a tenth of them; patience 40 counts" in said
    assert "40 epochs of 20 steps: 800 at most; warm-up over 8 steps, not 30: as it began; patience 40 counts" in said
    assert said.count("warm-up over 8 steps, not 30: as it began") == 2  # the refit's too
