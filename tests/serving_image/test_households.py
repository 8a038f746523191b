"""The page's households, from examples."""

from pathlib import Path

import pytest

from components.common.errors import InputError
from serving_image.households import Households
from serving_image.rows import Column
from tests.components import fake_model

COLUMNS = [Column("cust_person_id", "string", ""), Column("revenue", "float", 0.0), Column("city", "string", "")]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fake_model.write_examples(tmp_path_factory.mktemp("households") / "examples")


def test_purchases_before_and_after(examples: str) -> None:
    households = Households(examples, COLUMNS)
    assert households.all() == [
        {"id": "ann", "purchases": 5},
        {"id": "bob", "purchases": 4},
        {"id": "cyd", "purchases": 1},
        {"id": "dan", "purchases": 0},
    ]
    ann = households.one("ann")
    assert ann is not None
    assert ann["columns"] == {"cust_person_id": "ann", "revenue": 3.0, "city": "Ulm"}
    assert [(item["product_id"], item["count"]) for item in ann["history"]] == [(11, 3), (12, 1), (14, 1)]
    assert ann["history"][0]["name"] == "Spaghetti <script>alert(1)</script>"
    assert {item["product_id"] for item in ann["next"]} == {11, 14, 15}
    assert households.one("nobody") is None


def test_ids_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    rows = [(name, 11) for name in ("10", "9", "b", "100")]
    folder = fake_model.write_examples(tmp_path / "examples", test=rows)
    assert [household["id"] for household in Households(folder, COLUMNS).all()] == ["9", "10", "100", "b"]


def test_examples_that_are_not_there_or_lack_a_column(examples: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Households(str(tmp_path), COLUMNS)
    with pytest.raises(InputError, match="age"):
        Households(examples, [*COLUMNS, Column("age", "float", 0.0)])
    with pytest.raises(InputError, match="a model without cust_person_id"):
        Households(examples, COLUMNS[1:])
