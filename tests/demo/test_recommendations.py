"""`make run` asks the model that it released."""

from pathlib import Path

import numpy as np
import pytest

from demo import recommendations
from tests.components import fake_model
from tests.serving_image import stand_in

PRODUCTS = [(number, f"product {number}", "any", f"shelf {number % 2}") for number in range(6)]


@pytest.mark.slow
def test_households_get_products_by_name(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    # The score of a product is the customer's number in its place.
    scores = {"ann": [5.0, 4, 3, 2, 1, 0], "bob": [0.0, 1, 2, 3, 4, 5], "dan": [0.0, 0, 9, 8, 7, 6]}
    release = stand_in.write_known(tmp_path / "release", scores, np.eye(6), PRODUCTS)
    examples = fake_model.write_examples(tmp_path / "examples")  # ann, bob, cyd and dan buy in its test split
    with recommendations.ready() as ask:
        found = ask(release, examples)
    assert list(found) == ["ann", "bob", "dan"]
    assert found["ann"] == [[f"product {number}", f"shelf {number % 2}"] for number in (0, 1, 2, 3, 4)]
    assert [name for name, _ in found["bob"]] == [f"product {number}" for number in (5, 4, 3, 2, 1)]
    assert [name for name, _ in found["dan"]][:4] == [f"product {number}" for number in (2, 3, 4, 5)]


@pytest.mark.slow
def test_a_model_that_does_not_answer_says_why(tmp_path: Path) -> None:
    with recommendations.ready() as ask, pytest.raises(RuntimeError, match=r"InputError: .*found no saved_model\.pb"):
        ask(str(tmp_path), str(tmp_path))


def test_nobody_has_to_ask() -> None:
    with recommendations.ready():
        pass
