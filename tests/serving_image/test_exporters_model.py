"""What the Exporter writes is what this server reads: its own model of the fake world, not a stand-in."""

from pathlib import Path

import pytest

from serving_image.model import Model
from serving_image.rows import Limits, Reader
from serving_image.service import Service
from tests.components import fake_model
from tests.components.exporter import releases
from tests.serving_image.shop import talk


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = tmp_path_factory.mktemp("exported")
    model = fake_model.write_model(folder / "model")
    release = releases.build(folder / "release", model, fake_model.write_examples(folder / "examples"))
    return Model(f"{release}/saved_model")


def test_what_is_asked_is_answered(exported: Model) -> None:
    assert [column.name for column in exported.columns] == ["cust_person_id", "revenue"]
    assert exported.default_k == len(exported.catalogue) == len(fake_model.CATALOGUE)
    reader = Reader(exported.columns, Limits(), exported.default_k)
    rows = reader.read(
        b'{"instances": [{"cust_person_id": "cyd"}, {"cust_person_id": "cyd", "exclude": [14, 7], "k": 2},'
        b' {"cust_person_id": "ann", "category": "Dairy"}, {"cust_person_id": "ann", "category": "Fuel"}, {}]}'
    )
    answers = exported(rows)
    assert [list(answer["product_ids"]) for answer in answers[:4]] == [[14, 13, 12, 11], [13, 12], [12, 13], []]
    assert list(answers[0]["scores"]) == [3, 2, 1, 0]
    assert answers[0]["product_names"][:2] == ["Soap", "Молоко 3,2 %"]
    assert len(answers[4]["product_ids"]) == 4  # nobody in particular


def test_its_defaults_can_be_told(exported: Model) -> None:
    """The default of a number is NaN, which JSON cannot say."""
    service = Service()
    service.ready(exported, {})
    columns = talk(service, lambda client: client.get("/model")).json()["columns"]
    assert columns == [
        {"name": "cust_person_id", "kind": "string", "default": ""},
        {"name": "revenue", "kind": "float", "default": None},
    ]
