"""The served model of a Trainer's with a history, against float64 brute force in NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.components import fake_history, fake_model
from tests.components.exporter import releases

PRODUCTS, WIDTH = 12, 4
COLUMNS = {"cust_person_id", "revenue"}


class Shop:
    """12 products, 6 customers of whom two have no history, and the model that serves them."""

    def __init__(self, folder: Path):
        rng = np.random.default_rng(5)
        self.ids = rng.permutation(np.arange(500, 500 + PRODUCTS)).tolist()
        self.candidates = rng.normal(size=(PRODUCTS, WIDTH)).astype("f4")
        self.customers = {f"c{i}": rng.normal(size=WIDTH).astype("f4") for i in range(6)}
        self.histories = {f"c{i}": self.history(rng, 3 * i + 1) for i in range(4)}
        products = {
            str(id_): {"art_name": f"name {id_}", "stratbuy_domain_desc": "ab"[id_ % 2], "mge_main_cat_desc": "c"}
            for id_ in self.ids
        }
        model = fake_history.write_model(
            folder / "model", self.customers, self.ids, self.histories, candidates=self.candidates
        )
        examples = fake_model.write_examples(folder / "examples", products=products)
        self.loaded = tf.saved_model.load(releases.build(folder, model, examples, warm=False) + "/saved_model")

    def history(self, rng: np.random.Generator, purchases: int) -> fake_history.History:
        return [(int(rng.choice(self.ids)), float(rng.integers(0, 30))) for _ in range(purchases)]

    def ask(self, signature: str, **inputs: Any) -> dict[str, Any]:
        types = {
            "k": tf.int32,
            "exclude": tf.int64,
            "history_products": tf.int64,
            "revenue": tf.float32,
            "history_ages": tf.float32,
        }
        given = {name: tf.constant(value, types.get(name, tf.string)) for name, value in inputs.items()}
        return {name: value.numpy() for name, value in getattr(self.loaded, signature)(**given).items()}

    def scores(self, *asked: tuple[str, fake_history.History]) -> np.ndarray:
        """Of customers with histories, float64 [B, N]."""
        nobody = np.zeros(WIDTH)
        rows = [
            self.candidates.astype("f8") @ self.customers.get(customer, nobody).astype("f8")
            + fake_history.own(history, self.ids)
            for customer, history in asked
        ]
        return np.array(rows)

    def known(self) -> np.ndarray:
        return self.scores(*((customer, self.histories.get(customer, [])) for customer in self.customers))

    def best(self, scores: np.ndarray) -> list[list[int]]:
        return [[self.ids[place] for place in row] for row in np.argsort(-scores, axis=1, kind="stable")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize("signature", ["recommend", "recommend_excluding", "recommend_from_history"])
def test_lists_of_known_customers(shop: Shop, signature: str) -> None:
    found = shop.ask(signature, cust_person_id=list(shop.customers))
    assert found["product_ids"].tolist() == shop.best(shop.known())
    np.testing.assert_allclose(found["scores"], -np.sort(-shop.known(), axis=1), rtol=1e-6, atol=1e-6)
    without = shop.scores(*((customer, []) for customer in shop.customers))
    assert found["product_ids"].tolist()[:4] != shop.best(without)[:4]


@pytest.mark.parametrize("signature", ["recommend_excluding", "recommend_from_history"])
def test_what_is_excluded_stays_excluded(shop: Shop, signature: str) -> None:
    """Each customer's best four, whatever the terms make of them."""
    best = shop.best(shop.known())
    found = shop.ask(signature, cust_person_id=list(shop.customers), exclude=[row[:4] for row in best])
    assert found["product_ids"].tolist() == [row[4:] + [-1] * 4 for row in best]


def test_a_category(shop: Shop) -> None:
    customers = list(shop.customers)
    found = shop.ask("recommend_excluding", cust_person_id=customers, category=["b"], k=[3])
    expected = [[id_ for id_ in row if id_ % 2 == 1][:3] for row in shop.best(shop.known())]
    assert found["product_ids"].tolist() == expected


def test_histories_of_requests(shop: Shop) -> None:
    """Of a known customer, whose own history gives way, of an unknown one, and none, which is answered from the table.

    A purchase of a product that the catalogue lacks says nothing.
    """
    histories: list[fake_history.History] = [
        [(shop.ids[3], 1.0), (shop.ids[3], 7.0)],
        [(shop.ids[0], 0.0), (99, 0.0)],
        [],
    ]
    inputs = {
        "history_products": [[shop.ids[3], -1, shop.ids[3]], [shop.ids[0], 99, -1], [-1, -1, -1]],
        "history_ages": [[1, 0, 7], [0, 0, 0], [0, 0, 0]],
    }
    found = shop.ask("recommend_from_history", cust_person_id=["c1", "nobody", "c3"], **inputs)
    expected = shop.scores(("c1", histories[0]), ("nobody", histories[1]), ("c3", shop.histories["c3"]))
    assert found["product_ids"].tolist() == shop.best(expected)
    np.testing.assert_allclose(found["scores"], -np.sort(-expected, axis=1), rtol=1e-6, atol=1e-6)


def test_one_row_stands_for_all(shop: Shop) -> None:
    """One history for two customers, two histories of nobody, and one of nobody with exclusions for two."""
    history = {"history_products": [[shop.ids[5]]], "history_ages": [[3]]}
    found = shop.ask("recommend_from_history", cust_person_id=["c0", "c4"], **history)
    given: fake_history.History = [(shop.ids[5], 3.0)]
    assert found["product_ids"].tolist() == shop.best(shop.scores(("c0", given), ("c4", given)))
    two = {"history_products": [[shop.ids[5]], [shop.ids[6]]], "history_ages": [[3], [0]]}
    found = shop.ask("recommend_from_history", **two)
    assert found["product_ids"].tolist() == shop.best(shop.scores(("", given), ("", [(shop.ids[6], 0.0)])))
    found = shop.ask("recommend_from_history", **history, exclude=[[-1], [shop.ids[5]]], k=[1])
    assert found["product_ids"].tolist() == [[shop.ids[5]], [shop.ids[0]]]
    found = shop.ask("recommend_from_history")
    assert found["product_ids"].tolist() == [shop.ids]


def test_signatures(shop: Shop) -> None:
    found = {
        name: set(signature.structured_input_signature[1])
        for name, signature in shop.loaded.signatures.items()
        if name not in ("similar_products", "candidate_embedding")
    }
    assert found == {
        "serving_default": {*COLUMNS, "k"},
        "recommend": {*COLUMNS, "k"},
        "recommend_excluding": {*COLUMNS, "k", "exclude", "category"},
        "query_embedding": COLUMNS,
        "recommend_from_history": {*COLUMNS, "history_products", "history_ages", "k", "exclude"},
    }
    outputs = shop.ask("query_embedding", cust_person_id=["c0", "c5"])
    (product, age), none = shop.histories["c0"][0], outputs["own_products"][1]
    assert (outputs["own_products"].tolist(), none.tolist()) == ([[product], [-1]], [-1])
    np.testing.assert_allclose(outputs["own_scores"], np.array([[4 / (1 + age)], [0]]), rtol=1e-6)


def test_batches_and_rows_alone_are_answered_alike(shop: Shop) -> None:
    together = shop.ask("recommend", cust_person_id=list(shop.customers))
    for row, customer in enumerate(shop.customers):
        for name, value in shop.ask("recommend", cust_person_id=[customer]).items():
            np.testing.assert_array_equal(value[0], together[name][row])
