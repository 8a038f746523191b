"""Histories of requests: answers beside the SavedModel's own, of a release that the Exporter's code wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common import schema
from serving_image import model as model_module
from serving_image.catalogue import TEXTS
from serving_image.histories import History
from serving_image.model import Model
from serving_image.rows import Limits, Reader, Row
from serving_image.service import Service
from tests.components import fake_history, fake_model
from tests.components.exporter import releases
from tests.serving_image.shop import get, post

PRODUCTS, WIDTH = 30, 4
RANDOM = np.random.default_rng(8)
IDS = RANDOM.permutation(np.arange(500, 500 + PRODUCTS)).tolist()
CANDIDATES = RANDOM.normal(size=(PRODUCTS, WIDTH)).astype("f4")
CUSTOMERS = {f"c{number}": RANDOM.normal(size=WIDTH).astype("f4") for number in range(6)}
KNOWN: dict[str, fake_history.History] = {"c0": [(IDS[1], 3.0)], "c1": [(IDS[2], 0.0), (IDS[2], 9.0), (IDS[4], 1.0)]}
TABLE = {
    str(id_): {"art_name": f"name {id_}", "stratbuy_domain_desc": "ab"[id_ % 2], "mge_main_cat_desc": "c"}
    for id_ in IDS
}


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model with a history."""
    folder: Path = tmp_path_factory.mktemp("telling")
    model = fake_history.write_model(folder / "model", CUSTOMERS, IDS, KNOWN, candidates=CANDIDATES)
    examples = fake_model.write_examples(folder / "examples", products=TABLE)
    return Model(releases.build(folder, model, examples, warm=False) + "/saved_model")


def row(customer: str = "", k: int = 10, **wanted: Any) -> Row:
    bought = wanted.get("history", [])
    history = History([product for product, _ in bought], [days for _, days in bought]) if bought else None
    return Row((customer, float("nan")), k, wanted.get("exclude", ()), wanted.get("category", ""), history)


def directly(model: Model, asked: Row) -> dict[str, np.ndarray]:
    """The answer of the SavedModel's signature to one row, alone and not filled up."""
    inputs: dict[str, Any] = {
        "cust_person_id": tf.constant([asked.values[0]]),
        "revenue": tf.constant([asked.values[1]]),
        "k": tf.constant([asked.k]),
        "exclude": tf.constant([asked.exclude], tf.int64, (1, len(asked.exclude))),
    }
    if asked.history:
        inputs["history_products"] = tf.constant([asked.history.products], tf.int64)
        inputs["history_ages"] = tf.constant([asked.history.ages], tf.float32)
        outputs = model.loaded.signatures["recommend_from_history"](**inputs)
    else:
        outputs = model.loaded.signatures["recommend_excluding"](**inputs, category=tf.constant([asked.category]))
    return {name: value.numpy()[0] for name, value in outputs.items()}


def check(model: Model, rows: list[Row]) -> None:
    for asked, answer in zip(rows, model(rows), strict=True):
        expected = directly(model, asked)
        found = expected["product_ids"] != schema.NO_PRODUCT
        assert list(answer["product_ids"]) == expected["product_ids"][found].tolist()
        np.testing.assert_allclose(answer["scores"], expected["scores"][found], rtol=1e-6)
        for name in TEXTS:
            assert answer[name] == [text.decode() for text in expected[name][found]]


@pytest.mark.parametrize("cells", [1, 7, 1 << 16])
def test_histories_among_other_rows(telling: Model, monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    """Of new customers and of known ones, whose own history gives way; each row alone is answered alike."""
    monkeypatch.setattr(model_module, "MAX_CELLS", cells)
    rows = [
        row("c0", history=[(IDS[9], 0), (IDS[9], 4.5), (IDS[3], 1)]),
        row("c0"),
        row("nobody", history=[(IDS[0], 2)], k=3),
        row("c1", category="b", k=PRODUCTS),
        row("nobody", history=[(99, 0), (IDS[5], 0.25)], exclude=(IDS[5], 7, IDS[6])),
        row("c1", exclude=tuple(IDS[:20])),
        row("", history=[(id_, float(place)) for place, id_ in enumerate(IDS)], k=1),
        row("c5", history=[(IDS[4], 1)], exclude=tuple(IDS), k=5),
        row("c1", history=[(99, 1)]),
        row("c1", history=[(schema.NO_PRODUCT, 0)]),
        row("nobody", k=2),
    ]
    check(telling, rows)


def test_a_history_by_hand(telling: Model) -> None:
    """Of nobody in particular: FACTOR / (1 + age) for each purchase, and nothing for other products."""
    asked = [row(history=[(IDS[7], 1), (IDS[8], 0), (IDS[7], 0)], k=2), row("c1", history=[(99, 0)], k=1)]
    new, known = telling(asked)
    assert list(new["product_ids"]) == [IDS[7], IDS[8]]
    assert list(new["scores"]) == [6, 4]
    assert new["product_names"] == [f"name {IDS[7]}", f"name {IDS[8]}"]
    assert list(known["product_ids"]) == [IDS[int(np.argmax(CANDIDATES @ CUSTOMERS["c1"]))]]


def test_a_call_is_of_bounded_memory(telling: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call has more cells than it may, unless a row alone has; rows without a history are one call."""
    monkeypatch.setattr(model_module, "MAX_CELLS", 40)
    calls: list[tuple[int, int]] = []
    answers = telling._answers

    def watched(rows: Any) -> Any:
        calls.append(
            (len(rows), max(len(row.exclude) + len(row.history.products) if row.history else 0 for row in rows))
        )
        return answers(rows)

    monkeypatch.setattr(telling, "_answers", watched)
    widths = [1, 50, 10, 3, 0, 9, 0, 2, 12]
    check(telling, [row("c2", history=[(IDS[3], 1)] * width, exclude=(1,) * (width > 5)) for width in widths])
    assert calls == [(2, 0), (4, 10), (2, 13), (1, 51)]


def test_a_warm_model_has_traced_it(telling: Model) -> None:
    telling.warm_up()
    assert telling._from_history.experimental_get_tracing_count() == 1
    telling([row(history=[(IDS[0], 1), (IDS[1], 1)]), row(history=[(IDS[0], 1)], exclude=(IDS[0], IDS[1]))])
    assert telling._from_history.experimental_get_tracing_count() == 1


def test_over_http(telling: Model) -> None:
    service = Service(Limits(history=2))
    service.ready(telling, {})
    about = get(service, "/model").json()
    assert (about["history"], about["limits"]["history"]) == (True, 2)
    assert [column["name"] for column in about["columns"]] == ["cust_person_id", "revenue"]
    history = [{"product_id": IDS[7], "days": 0.5}, {"product_id": IDS[8], "days": 3}]
    instances: list[dict[str, Any]] = [
        {"cust_person_id": "c3", "history": history, "k": 3, "exclude": [IDS[8]]},
        {"cust_person_id": "c3", "history": [], "k": 3},
    ]
    response = post(service, {"instances": instances})
    assert response.status_code == 200
    reader = Reader(telling.columns, Limits(), 10, True)
    rows = reader.read(json.dumps({"instances": instances}).encode())
    for answer, asked in zip(response.json()["predictions"], rows, strict=True):
        assert answer["product_ids"] == directly(telling, asked)["product_ids"].tolist()
    response = post(service, {"instances": [{}, {"history": [*history, *history]}]})
    assert response.status_code == 400
    assert response.json()["error"]["field"] == "instances[1].history"


def test_a_release_without(service: Service, model: Model) -> None:
    assert not model.has_history
    response = post(service, {"instances": [{"history": [{"product_id": IDS[7], "days": 0.5}]}]})
    assert response.status_code == 400
    assert response.json()["error"]["expected"] == "none, this model takes no history"
    assert post(service, {"instances": [{"history": None}, {"history": []}]}).status_code == 200
