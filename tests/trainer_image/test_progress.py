"""What training says of its loss, by hand."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer_image.progress import Progress, means
from trainer_image.steps import Sums


def said(folder: Path, capsys: pytest.CaptureFixture[str], warm: int, epochs: list[Sums]) -> tuple[str, str]:
    """What stdout and stderr show of some epochs of 10 steps over 400 rows."""
    settings: dict[str, Any] = {"epochs": len(epochs), "steps": 10, "rows": 400, "warm": warm, "seconds": 0.0}
    with Progress(**settings, quiet=False, logs=str(folder), curve=[]) as progress:
        for epoch, sums in enumerate(epochs, 1):
            progress.steps_done(epoch, 10, sums, 0.0)
            progress.epoch_done(epoch, sums, None)
    found = capsys.readouterr()
    return found.out, found.err


def test_the_loss_is_divided_by_what_was_held(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(tmp_path, capsys, 0, [Sums(1000.0, 2000.0, 400.0), Sums(900.0, 1800.0, 360.0)])
    assert out.count("loss 2.5000 (chance 5.000)") == 2
    assert not err
    with open(tmp_path / "curve.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["loss"], row["chance"]) for row in rows] == [("2.5", "5.0")] * 2


def test_nothing_held_is_no_loss() -> None:
    assert means(Sums(0.0, 0.0, 0.0)) == (0.0, 0.0)
    assert np.isfinite(means(Sums(3.0, 4.0, 2.0))).all()


AT, BELOW, SURE = Sums(730.0, 730.0, 100.0), Sums(729.0, 730.0, 100.0), Sums(0.0, 0.0, 100.0)


@pytest.mark.parametrize(
    ("warm", "epochs", "warned"),
    [
        (0, [AT], False),  # the first epoch begins with random weights
        (0, [AT, AT], True),
        (0, [AT, AT, AT], True),  # and once only
        (0, [AT, BELOW], False),
        (2, [AT, AT], False),  # the rate is still rising
        (2, [AT, AT, AT], True),
        (2, [AT, AT, BELOW], False),
        (0, [SURE, SURE], False),  # one product: chance is right already
        (0, [Sums(0.0, 0.0, 0.0)] * 2, False),
    ],
)
def test_a_loss_not_below_chance_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], warm: int, epochs: list[Sums], warned: bool
) -> None:
    assert said(tmp_path, capsys, warm, epochs)[1].count("not below that of chance") == warned
