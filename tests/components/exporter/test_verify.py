import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from components.exporter.verify import verify
from tests.components import fake_model


def test_customers_count_once_and_candidates_come_back(world: dict[str, str]) -> None:
    result, candidates = verify(world["model"], world["examples"])
    assert (result["customers"], result["k"], result["max_score_difference"]) == (4, 3, 0.0)
    np.testing.assert_array_equal(candidates, np.eye(4))


def test_real_valued_scores_agree_within_the_tolerance(world: dict[str, str], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scores = {customer: rng.normal(size=64) for customer in fake_model.SCORES}
    model = fake_model.write_model(tmp_path / "model", scores, candidates=rng.normal(size=(4, 64)))
    result, _ = verify(model, world["examples"])
    assert 0 < result["max_score_difference"] < 1e-5


def test_either_order_of_tied_products_is_right(world: dict[str, str], tmp_path: Path) -> None:
    model = with_saved_model_of(
        fake_model.write_model(tmp_path / "other", TIED, [14, 13, 12, 11]),
        fake_model.write_model(tmp_path / "model", TIED),
    )
    assert verify(model, world["examples"])[0]["mismatches"] == 0


TIED = {customer: [1, 1, 1, 1] for customer in fake_model.SCORES}


def with_saved_model_of(other: str, model: str) -> str:
    shutil.rmtree(f"{model}/saved_model", ignore_errors=True)
    shutil.copytree(f"{other}/saved_model", f"{model}/saved_model")
    return model


def test_an_index_that_names_one_product_twice(world: dict[str, str], tmp_path: Path) -> None:
    """All scores tie, so only the repetition is wrong."""
    model = fake_model.write_model(tmp_path / "model", TIED, index=[11, 11, 13, 14])
    with pytest.raises(InputError, match="customer ann, place 2 of 3: found product 11"):
        verify(model, world["examples"])


def test_an_index_with_a_product_outside_the_catalogue(world: dict[str, str], tmp_path: Path) -> None:
    model = fake_model.write_model(tmp_path / "model", index=[99, 12, 13, 14])
    with pytest.raises(InputError, match="customer ann, place 1 of 3: found product 99"):
        verify(model, world["examples"])


def test_an_index_of_other_embeddings(world: dict[str, str], tmp_path: Path) -> None:
    """The order is right and every score is a hundredth too high."""
    model = with_saved_model_of(
        fake_model.write_model(tmp_path / "other", candidates=1.01 * np.eye(4)),
        fake_model.write_model(tmp_path / "model"),
    )
    with pytest.raises(InputError, match=r"found product 11 with score 4\.04 .* expected product 11 with score 4 "):
        verify(model, world["examples"])


@pytest.mark.parametrize("part", ["query_model", "candidate_model", "saved_model"])
def test_a_model_without_a_part(world: dict[str, str], tmp_path: Path, part: str) -> None:
    model = shutil.copytree(world["model"], tmp_path / "model")
    shutil.rmtree(model / part)
    with pytest.raises(InputError, match=f"model/{part}: found no saved_model.pb"):
        verify(str(model), world["examples"])


def test_towers_of_different_width(world: dict[str, str], tmp_path: Path) -> None:
    model = with_saved_model_of(world["model"], fake_model.write_model(tmp_path / "model", candidates=np.ones((4, 7))))
    with pytest.raises(InputError, match="query embeddings 4 wide, candidate embeddings 7"):
        verify(model, world["examples"])


def test_nothing_of_the_trainer_is_imported() -> None:
    code = (
        "import sys, components.exporter.verify;"
        "print([name for name in ('trainer_image', 'tensorflow_recommenders', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
