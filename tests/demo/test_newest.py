"""`make serve` and `make tune` find the newest run that is far enough, or say what to do."""

from pathlib import Path

import pytest

from components.common.errors import InputError
from demo.newest import newest


def test_the_newest_run_with_a_model(tmp_path: Path) -> None:
    for run in ("recs-2026-01-01", "recs-2026-01-03", "recs-2026-01-02"):
        (tmp_path / run / "exporter" / "release" / "saved_model").mkdir(parents=True)
    (tmp_path / "recs-2026-01-04" / "exporter" / "release").mkdir(parents=True)  # the gate said no
    assert newest(str(tmp_path), "exporter/release/saved_model", "model") == tmp_path / "recs-2026-01-03"


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a/b: found no released model, expected that of a run. Run `make run` first"):
        newest(str(tmp_path), "a/b", "released model")
