"""The served model of a Trainer's with a history, and its proof; against NumPy and values worked out by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common.errors import InputError
from components.exporter.catalogue import Catalogue
from components.exporter.export import export
from components.exporter.serving_model import ServingModel
from components.exporter.verify import verify
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
        self.loaded = tf.saved_model.load(releases.build(folder, model, examples) + "/saved_model")

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


Verify = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fake_history.write_model(tmp_path_factory.mktemp("history") / "model")


@pytest.fixture
def proof(world: dict[str, str], model: str, tmp_path: Path) -> Verify:
    """Builds a release, perhaps of another model, verifies it and returns what was found."""

    def run(built_from: str = model, **changes: Any) -> dict[str, Any]:
        release = releases.build(tmp_path / "release", built_from, world["examples"], **changes)
        evaluation = releases.write_evaluation(tmp_path / "evaluation", fake_history.RECALL)
        return verify(model, world["examples"], evaluation, release)[0]

    return run


def test_what_is_proven(proof: Verify) -> None:
    found = proof()
    assert (found["recall_1"], found["recall_2"], found["max_recall_difference"]) == (3.5 / 6, 5 / 6, 0)
    assert (found["lists"], found["histories"], found["mismatches"], found["max_score_difference"]) == (4, 4, 0, 0)
    assert found["warmup_requests"] == 7


class Halved(ServingModel):
    """The terms count half in lists, though query_embedding names them right."""

    def _best(self, *given: Any, **more: Any) -> dict[str, tf.Tensor]:
        if more.get("own"):
            more["own"] = (more["own"][0], more["own"][1] / 2)
        return super()._best(*given, **more)


class Forgetful(ServingModel):
    """The history of a request is passed over."""

    def _asked(self, raw: Any, history: Any = None) -> Any:
        return super()._asked(raw, None if history is None else tuple(given[:, :0] for given in history))


class Proud(ServingModel):
    """A product with a term comes back though it is excluded."""

    def _best(self, queries: Any, k: Any, left_out: Any, *given: Any, **more: Any) -> dict[str, tf.Tensor]:
        if left_out is not None and more.get("own"):
            rows, places = tf.range(tf.shape(queries)[0], dtype=tf.int64), tf.maximum(more["own"][0], 0)
            cells = tf.stack([tf.broadcast_to(rows[:, None], tf.shape(places)), places], axis=2)
            left_out = tf.tensor_scatter_nd_update(left_out, cells, tf.zeros(tf.shape(places), tf.bool))
        return super()._best(queries, k, left_out, *given, **more)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Halved, "saved_model, recommend, customer ann, place 1 of 4: found product 11 with score 4"),
        (Forgetful, "saved_model, recommend_from_history, customer ann, with a history, place 1"),
        (Proud, "saved_model, recommend_excluding, customer "),
    ],
)
def test_lists_that_are_wrong(proof: Verify, kind: type[ServingModel], message: str) -> None:
    with pytest.raises(InputError, match=message):
        proof(kind=kind)


@pytest.mark.parametrize(
    ("histories", "found", "expected"),
    [
        ({**fake_history.HISTORIES, "bob": [(13, 1), (13, 3.0001)]}, "own product 13: found 2.9999", "expected 3,"),
        ({**fake_history.HISTORIES, "cyd": [(12, 3)]}, "customer cyd: found 1 own products: 12", "products: 11, as"),
        ({**fake_history.HISTORIES, "dan": [(12, 3)]}, "customer dan: found 1 own products: 12", "no own product"),
        ({"ann": [(14, 0)]}, "customer bob: found no own product", "1 own products: 13"),
    ],
)
def test_terms_of_another_model(proof: Verify, tmp_path: Path, histories: Any, found: str, expected: str) -> None:
    other = fake_history.write_model(tmp_path / "other", histories=histories)
    with pytest.raises(InputError, match=f"query_embedding, .*{found}.*{expected}"):
        proof(built_from=other)


def test_a_release_without_the_history(proof: Verify, world: dict[str, str]) -> None:
    with pytest.raises(InputError, match="query_embedding: found no own terms, expected own terms, as by the query"):
        proof(built_from=world["model"])


def test_an_index_of_other_ids_has_no_place_for_a_term(proof: Verify) -> None:
    def other(products: Catalogue) -> Catalogue:
        return products._replace(ids=np.array([11, 12, 13, 99]))

    with pytest.raises(InputError, match="customer ann, place 1 of 4"):
        proof(alter=other)


def test_a_release_from_end_to_end(world: dict[str, str], model: str, tmp_path: Path) -> None:
    evaluation = releases.write_evaluation(tmp_path / "evaluation", fake_history.RECALL)
    output = str(tmp_path / "release")
    export(model=model, examples=world["examples"], evaluation=evaluation, output_path=output)
    document = json.loads((tmp_path / "release/release.json").read_text())
    assert document["verification"]["histories"] == 4
    assert document["verification"]["warmup_requests"] == 14
    loaded = tf.saved_model.load(f"{output}/saved_model")
    found = loaded.recommend_from_history(
        history_products=tf.constant([[13]], tf.int64), history_ages=tf.constant([[0.0]]), k=tf.constant([2])
    )
    assert found["product_ids"].numpy().tolist() == [[13, 11]]
    assert found["scores"].numpy().tolist() == [[4, 0]]
