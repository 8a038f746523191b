"""Answers of the model beside NumPy's, and releases that cannot be served."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.errors import InputError
from serving_image import model as model_module
from serving_image import release as releases
from serving_image.model import Model
from serving_image.rows import Column, Row
from tests.components import fake_model
from tests.serving_image import stand_in
from tests.serving_image.shop import CUSTOMERS, IDS, PRODUCTS, check


def row(customer: str = "", revenue: float = stand_in.REVENUE, **wanted: Any) -> Row:
    return Row(("", customer, revenue), wanted.get("k", 10), wanted.get("exclude", ()), wanted.get("category", ""))


def test_columns_and_their_defaults_are_the_signatures(model: Model) -> None:
    assert model.columns == [
        Column("city", "string", ""),
        Column("cust_person_id", "string", ""),
        Column("revenue", "float", stand_in.REVENUE),
    ]
    assert len(model.catalogue) == model.default_k == PRODUCTS
    assert model.catalogue.categories() == ["part 0", "part 1", "part 2"]


def test_everybody_gets_their_own(model: Model) -> None:
    asked = [(customer, 1000.0 * place, {"k": 1 + place}) for place, customer in enumerate([*CUSTOMERS, "nobody"])]
    answers = model([row(customer, revenue, **wanted) for customer, revenue, wanted in asked])
    for (customer, revenue, wanted), answer in zip(asked, answers, strict=True):
        check(answer, customer, revenue, **wanted)


@pytest.mark.parametrize("cells", [1, 30, 1 << 16])
def test_exclusions_and_categories_among_plain_rows(model: Model, monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(model_module, "MAX_CELLS", cells)
    wanted: list[dict[str, Any]] = [
        {"exclude": (IDS[3], 5, -1)},
        {},
        {"category": "part 1", "k": 30},
        {"exclude": tuple(IDS), "k": 5},
        {"exclude": tuple(IDS[:20]), "category": "part 2"},
        {"exclude": (4, 5)},
        {"category": "no such"},
        {"k": 3},
    ]
    customers = list(CUSTOMERS)[: len(wanted)]
    answers = model([row(customer, **part) for customer, part in zip(customers, wanted, strict=True)])
    for customer, part, answer in zip(customers, wanted, answers, strict=True):
        check(answer, customer, **{"k": 10, **part})


def test_more_products_than_there_are(model: Model) -> None:
    check(model([row("клиент 1", k=1000)])[0], "клиент 1", k=PRODUCTS)


def test_a_catalogue_of_more_than_one_question(tmp_path: Path) -> None:
    products = [(number, f"n {number}", "c", "s") for number in range(1500)]
    folder = stand_in.write_known(tmp_path, {"ann": [1.0]}, np.arange(1500.0)[:, None], products)
    served = Model(f"{folder}/saved_model")
    assert len(served.catalogue) == 1500
    assert served.default_k == stand_in.K
    answer = served([row("ann", k=2)])[0]
    assert list(answer["product_ids"]) == [1499, 1498]
    assert answer["product_names"] == ["n 1499", "n 1498"]


def test_a_model_of_another_kind(tmp_path: Path) -> None:
    folder = fake_model.write_model(tmp_path / "model")
    with pytest.raises(InputError, match=r"no signature recommend, recommend_excluding.* Run the Exporter"):
        Model(f"{folder}/saved_model")


def test_a_damaged_model(release: str, tmp_path: Path) -> None:
    shutil.copytree(f"{release}/saved_model", tmp_path / "m")
    Path(tmp_path, "m", "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match=r"damage \("):
        Model(str(tmp_path / "m"))
    with pytest.raises(InputError, match=r"no saved_model\.pb"):
        Model(str(tmp_path))


def test_where_a_release_is(release: str, tmp_path: Path) -> None:
    folder, document = releases.locate(release)
    assert folder == f"{release}/saved_model"
    assert document["model_version"] == "stand-in"
    assert releases.locate(folder) == (folder, {})
    for nothing in ("", str(tmp_path / "none")):
        with pytest.raises(InputError, match="found nothing"):
            releases.locate(nothing)
    with pytest.raises(InputError, match=r"neither release\.json nor saved_model\.pb"):
        releases.locate(str(tmp_path))


@pytest.mark.parametrize("verdict", [None, "yes", [], True])
def test_a_release_without_a_verdict_is_not_served(tmp_path: Path, verdict: object) -> None:
    Path(tmp_path, "release.json").write_text(json.dumps({"verdict": verdict}))
    with pytest.raises(InputError, match=r"field verdict: found .* expected the gate's verdict"):
        releases.locate(str(tmp_path))


def test_a_gate_that_said_no_is_repeated(tmp_path: Path) -> None:
    reasons = [{"passed": True, "text": "fine"}, {"passed": False, "text": "worse than popularity"}]
    Path(tmp_path, "release.json").write_text(json.dumps({"verdict": {"promote": False, "reasons": reasons}}))
    with pytest.raises(InputError, match=r"found no \(worse than popularity\)"):
        releases.locate(str(tmp_path))
