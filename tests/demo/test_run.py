"""`make run` refuses what its Trainer would refuse, before anything is prepared."""

from pathlib import Path

import pytest

from components.common.errors import InputError
from demo.run import run


def test_a_refit_is_not_ablated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--refit: found --ablate too, expected one of the two"):
        run(folder=str(tmp_path / "runs"), data=str(tmp_path / "data"), refit=True, ablate=True)
    assert not list(tmp_path.iterdir())
