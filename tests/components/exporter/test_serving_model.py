"""The served model, against float64 brute force in NumPy and values worked out by hand."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common import saved_models
from components.common.errors import InputError
from components.exporter import serving_model
from components.exporter.catalogue import Catalogue
from tests.components import fake_model
from tests.components.exporter import releases

PRODUCTS, WIDTH = 60, 8
CATEGORIES = ["Dairy", "Молоко", "Soap", ""]


class Shop:
    """60 products of 4 categories, 20 customers, and the model that serves them."""

    def __init__(self, folder: Path):
        rng = np.random.default_rng(3)
        self.ids = rng.permutation(np.arange(10**12, 10**12 + PRODUCTS)).tolist()
        self.candidates = rng.normal(size=(PRODUCTS, WIDTH)).astype("f4")
        self.customers = {f"клиент {i}": rng.normal(size=WIDTH).astype("f4") for i in range(20)}
        self.category = [CATEGORIES[i % 4] for i in range(PRODUCTS)]
        products = {
            str(id_): {
                "art_name": f"Käse {i}",
                "stratbuy_domain_desc": self.category[i],
                "mge_main_cat_desc": f"sub {i % 7}",
            }
            for i, id_ in enumerate(self.ids)
        }
        model = fake_model.write_model(
            folder / "model", self.customers, self.ids, self.candidates, k=10, query_column="city"
        )
        examples = fake_model.write_examples(folder / "examples", products=products)
        self.folder = releases.build(folder, model, examples, warm=False)
        self.loaded = tf.saved_model.load(f"{self.folder}/saved_model")

    def ask(self, signature: str, **inputs: Any) -> dict[str, Any]:
        types = {"k": tf.int32, "exclude": tf.int64, "product_id": tf.int64, "revenue": tf.float32}
        given = {name: tf.constant(value, types.get(name, tf.string)) for name, value in inputs.items()}
        return {name: value.numpy() for name, value in getattr(self.loaded, signature)(**given).items()}

    def best(self, scores: np.ndarray, k: int, left: np.ndarray | None = None) -> list[list[int]]:
        """Ids of the best k of each row, by float64."""
        scores = scores if left is None else np.where(left, scores, -np.inf)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [
            [self.ids[place] if scores[row, place] > -np.inf else -1 for place in places]
            for row, places in enumerate(order)
        ]

    def scores(self, *customers: str) -> np.ndarray:
        queries = np.array([self.customers.get(customer, np.zeros(WIDTH)) for customer in customers], np.float64)
        scores: np.ndarray = queries @ self.candidates.T.astype(np.float64)
        return scores


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


ALL = [f"клиент {i}" for i in range(20)]


@pytest.mark.parametrize("signature", ["recommend", "recommend_excluding"])
def test_the_best_products_with_all_that_is_shown_of_them(shop: Shop, signature: str) -> None:
    scores = shop.scores(*ALL)
    found = shop.ask(signature, cust_person_id=ALL, k=[7])
    assert found["product_ids"].tolist() == shop.best(scores, 7)
    np.testing.assert_allclose(found["scores"], -np.sort(-scores, axis=1)[:, :7], rtol=1e-6)
    places = [[shop.ids.index(id_) for id_ in row] for row in found["product_ids"].tolist()]
    assert found["product_names"].tolist() == [[f"Käse {i}".encode() for i in row] for row in places]
    assert found["categories"].tolist() == [[CATEGORIES[i % 4].encode() for i in row] for row in places]
    assert found["subcategories"].tolist() == [[f"sub {i % 7}".encode() for i in row] for row in places]
    assert {name: value.dtype for name, value in found.items() if name in ("product_ids", "scores")} == {
        "product_ids": np.int64,
        "scores": np.float32,
    }


def test_every_row_has_its_own_k(shop: Shop) -> None:
    found = shop.ask("recommend", cust_person_id=ALL[:4], k=[2, 0, -3, 4])
    expected = shop.best(shop.scores(*ALL[:4]), 4)
    none = [-1] * 4
    assert found["product_ids"].tolist() == [[*expected[0][:2], -1, -1], none, none, expected[3]]
    assert (found["scores"] == -np.inf).tolist() == (found["product_ids"] == -1).tolist()
    assert (found["product_names"] == b"").tolist() == (found["product_ids"] == -1).tolist()


@pytest.mark.parametrize(("k", "given"), [(60, [1000]), (60, []), (0, [0])])
def test_k_is_cut_to_the_catalogue_and_left_out(shop: Shop, k: int, given: list[int]) -> None:
    found = shop.ask("recommend", cust_person_id=ALL, **({"k": given} if given else {}))
    assert found["product_ids"].tolist() == shop.best(shop.scores(*ALL), k)


def test_excluded_ones_are_passed_over_wherever_they_stand(shop: Shop) -> None:
    best = shop.best(shop.scores(*ALL[:3]), 60)
    exclude = [[best[0][0], best[0][2], best[0][2]], [-1, 5, 2**63 - 1], [best[2][1], -1, best[0][0]]]
    left = ~np.array([[id_ in row for id_ in shop.ids] for row in exclude])
    found = shop.ask("recommend_excluding", cust_person_id=ALL[:3], exclude=exclude, k=[5])
    assert found["product_ids"].tolist() == shop.best(shop.scores(*ALL[:3]), 5, left)
    assert found["product_ids"].tolist()[1] == best[1][:5]  # unknown ids leave nothing out


def test_one_row_of_exclusions_counts_for_all(shop: Shop) -> None:
    exclude = [shop.ids[:30]]
    left = np.tile(np.arange(60) >= 30, (20, 1))
    found = shop.ask("recommend_excluding", cust_person_id=ALL, exclude=exclude, k=[40])
    assert found["product_ids"].tolist() == shop.best(shop.scores(*ALL), 40, left)
    assert (found["product_ids"][:, 30:] == -1).all()


def test_nothing_is_left(shop: Shop) -> None:
    found = shop.ask("recommend_excluding", cust_person_id=ALL[:1], exclude=[shop.ids], k=[3])
    assert found["product_ids"].tolist() == [[-1, -1, -1]]
    assert found["scores"].tolist() == [[-np.inf] * 3]


def test_a_category_with_and_without_exclusions(shop: Shop) -> None:
    wanted, customers = ["Молоко", "", "no such", "Soap"], ALL[:4]
    left = np.array([[not name or name == own for own in shop.category] for name in wanted])
    found = shop.ask("recommend_excluding", cust_person_id=customers, category=wanted, k=[20])
    assert found["product_ids"].tolist() == shop.best(shop.scores(*customers), 20, left)
    first = [[row[0]] for row in found["product_ids"].tolist()]
    left &= ~np.array([[id_ in row for id_ in shop.ids] for row in first])
    found = shop.ask("recommend_excluding", cust_person_id=customers, category=wanted, exclude=first, k=[20])
    assert found["product_ids"].tolist() == shop.best(shop.scores(*customers), 20, left)


def test_similar_products_are_ordered_by_cosine(shop: Shop) -> None:
    unit = shop.candidates.astype(np.float64) / np.linalg.norm(shop.candidates.astype(np.float64), axis=1)[:, None]
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    asked = [shop.ids[4], 99, shop.ids[59]]
    found = shop.ask("similar_products", product_id=asked, k=[60])
    rows = shop.best(cosines[[4, 59]], 60)
    assert found["product_ids"].tolist() == [rows[0], [-1] * 60, rows[1]]
    assert rows[0][-1] == -1  # itself
    np.testing.assert_allclose(found["scores"][0, :-1], -np.sort(-cosines[4])[:-1], rtol=1e-6)


def test_embeddings(shop: Shop) -> None:
    found = shop.ask("query_embedding", cust_person_id=ALL)
    np.testing.assert_array_equal(found["embedding"], list(shop.customers.values()))
    product = {"product_id": shop.ids, "stratbuy_domain_desc": shop.category}
    np.testing.assert_array_equal(shop.ask("candidate_embedding", **product)["embedding"], shop.candidates)


def test_what_is_left_out_has_a_default(shop: Shop) -> None:
    """An unknown customer has zeros for an embedding, so all products tie and stand in the catalogue's order."""
    assert shop.ask("recommend")["product_ids"].tolist() == [shop.ids]
    assert shop.ask("recommend", revenue=[1.0, 2.0, 3.0])["product_ids"].shape == (3, 60)
    assert shop.ask("recommend_excluding", exclude=[[shop.ids[0]], [7]], k=[1])["product_ids"].tolist() == [
        [shop.ids[1]],
        [shop.ids[0]],
    ]
    assert shop.ask("query_embedding")["embedding"].shape == (1, WIDTH)


def test_batches_of_none(shop: Shop) -> None:
    requests: list[dict[str, list[float]]] = [
        {"cust_person_id": []},
        {"k": []},
        {"cust_person_id": [], "revenue": [1.0]},
    ]
    for inputs in requests:
        found = shop.ask("recommend", **inputs)
        assert len(found["product_ids"]) == len(found["product_names"]) == 0
    assert shop.ask("similar_products", product_id=[])["product_ids"].shape == (0, 60)
    assert shop.ask("query_embedding", cust_person_id=[])["embedding"].shape == (0, WIDTH)


def test_sizes_that_do_not_fit(shop: Shop) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Incompatible shapes|broadcast"):
        shop.ask("recommend", cust_person_id=ALL[:2], revenue=[1.0, 2.0, 3.0])


def test_a_batch_and_its_rows_alone_are_answered_alike(shop: Shop) -> None:
    together = shop.ask("recommend", cust_person_id=ALL)
    for row, customer in enumerate(ALL):
        alone = shop.ask("recommend", cust_person_id=[customer])
        for name, value in alone.items():
            np.testing.assert_array_equal(value[0], together[name][row])


def test_a_session_fills_in_the_defaults_as_tensorflow_serving_does(shop: Shop) -> None:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        found = tf.compat.v1.saved_model.load(session, ["serve"], f"{shop.folder}/saved_model").signature_def
        assert set(found["recommend"].defaults) == {"cust_person_id", "revenue", "city", "k"}
        assert set(found["recommend_excluding"].defaults) - set(found["recommend"].defaults) == {"exclude", "category"}
        assert tf.make_ndarray(found["serving_default"].defaults["k"]).tolist() == [60]
        signature = found["recommend"]
        feed = {signature.inputs["cust_person_id"].name: [name.encode() for name in ALL]}
        ids = session.run(signature.outputs["product_ids"].name, feed)
    assert ids.tolist() == shop.best(shop.scores(*ALL), 60)


class Clock(tf.Module):
    """A query model that sees the time: (seconds, 1)."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "timestamp")])
    def serve(self, timestamp: tf.Tensor) -> dict[str, tf.Tensor]:
        seconds = tf.cast(timestamp - 1_700_000_000, tf.float32)
        return {"embedding": tf.stack([seconds, tf.ones_like(seconds)], axis=1)}


@pytest.fixture(scope="module")
def alone(world: dict[str, str], shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process of its own says, which cannot import Keras and in the end is told to be deterministic.

    Returns:
        `ids` that the shop recommends, modules of `keras` that its model imported, what the clock's model says with the
        time `left_out`, left out of the first of two rows, `mixed`, and `given`, and the seconds `before` and `after`.
    """
    folder, clock = tmp_path_factory.mktemp("clock"), Clock()
    tf.saved_model.save(clock, str(folder / "query_model"), {"serving_default": clock.serve})
    query = saved_models.SavedModel(str(folder), "query_model")
    products = releases.catalogue_of(world["model"], world["examples"])
    products = products._replace(embeddings=np.eye(4, 2, dtype="f4"))
    model = serving_model.ServingModel(query, releases.towers(world["model"])[1], products)
    serving_model.write(str(folder / "saved_model"), model)
    code = f"""
import json, sys
for name in ("keras", "tf_keras", "tensorflow_recommenders", "components"):
    sys.modules[name] = None  # TensorFlow itself would import Keras where it is installed
import tensorflow as tf
before = set(sys.modules)
loaded = tf.saved_model.load({shop.folder + "/saved_model"!r})
ids = loaded.recommend(cust_person_id=tf.constant({ALL!r}), k=tf.constant([3]))["product_ids"]
keras = [name for name in set(sys.modules) - before if "keras" in name and sys.modules[name]]
loaded = tf.saved_model.load({str(folder / "saved_model")!r})
left_out, mixed = loaded.query_embedding(), loaded.query_embedding(timestamp=tf.constant([1_700_000_007, {-(2**63)}]))
tf.config.experimental.enable_op_determinism()
given = loaded.query_embedding(timestamp=tf.constant([1_700_000_007], tf.int64))
times = [found["embedding"].numpy().tolist() for found in (left_out, mixed, given)]
print(json.dumps([ids.numpy().tolist(), keras, *times]))
"""  # where TensorFlow is told to be deterministic, it has no clock
    before = time.time() - 1_700_000_000
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    found = zip(("ids", "keras", "left_out", "mixed", "given"), json.loads(done.stdout.splitlines()[-1]), strict=True)
    return {**dict(found), "before": before, "after": time.time() - 1_700_000_000}


def test_it_loads_with_tensorflow_alone(shop: Shop, alone: dict[str, Any]) -> None:
    assert alone["ids"] == shop.best(shop.scores(*ALL), 3)
    assert alone["keras"] == []


def test_a_time_that_is_left_out_is_the_moment_of_the_request(alone: dict[str, Any]) -> None:
    for seconds, _ in (alone["left_out"][0], alone["mixed"][1]):
        assert alone["before"] - 64 <= seconds <= alone["after"] + 64  # float32 holds it to within 8 seconds
    assert alone["mixed"][0] == alone["given"][0] == [7, 1]


def test_equal_scores_stand_in_the_order_of_the_catalogue(world: dict[str, str], tmp_path: Path) -> None:
    folder = releases.build(tmp_path, world["model"], world["examples"], warm=False)
    loaded = tf.saved_model.load(f"{folder}/saved_model")
    found = loaded.recommend(cust_person_id=tf.constant(["bob", "dan"]), k=tf.constant([4]))
    assert found["product_ids"].numpy().tolist() == [[11, 12, 13, 14], [12, 13, 11, 14]]
    assert found["product_names"].numpy()[1].tolist() == [
        fake_model.PRODUCTS[product]["art_name"].encode() for product in ("12", "13", "11", "14")
    ]


@pytest.mark.parametrize("column", ["k", "exclude", "category", "history_products", "history_ages"])
def test_a_column_of_the_name_of_an_input(world: dict[str, str], tmp_path: Path, column: str) -> None:
    model = fake_model.write_model(tmp_path / "model", query_column=column)
    with pytest.raises(InputError, match=f"found a column {column}, expected no column named k, exclude, category, "):
        releases.build(tmp_path, model, world["examples"], warm=False)


def test_a_product_whose_id_stands_for_none(tmp_path: Path) -> None:
    products = {"-1": {"art_name": "a", "stratbuy_domain_desc": "b", "mge_main_cat_desc": "c"}}
    model = fake_model.write_model(tmp_path / "model", catalogue=[-1], candidates=np.eye(1, 4), k=1)
    examples = fake_model.write_examples(tmp_path / "examples", products=products)
    with pytest.raises(InputError, match="field products: found product -1"):
        releases.catalogue_of(model, examples)


def test_the_index_keeps_every_bit_of_an_embedding(shop: Shop) -> None:
    """A dot product with the other products is exact where it is one of whole numbers."""
    rng = np.random.default_rng(1)
    whole = rng.integers(-(2**20), 2**20, (5, 4)).astype("f4")
    queries = rng.integers(-(2**3), 2**3, (3, 4)).astype("f4")
    from components.exporter.catalogue_index import CatalogueIndex

    index = CatalogueIndex(tf.constant(whole), tf.range(5, dtype=tf.int64))
    scores, places = index(tf.constant(queries), k=tf.constant(5))
    expected = queries.astype(np.int64) @ whole.T.astype(np.int64)
    assert np.take_along_axis(expected, places.numpy(), axis=1).tolist() == scores.numpy().tolist()
    assert (-np.sort(-expected, axis=1)).tolist() == scores.numpy().tolist()


def test_catalogue_is_what_the_lookup_says(world: dict[str, str]) -> None:
    products: Catalogue = releases.catalogue_of(world["model"], world["examples"])
    assert products.ids.tolist() == [11, 12, 13, 14]
    assert products.subcategories.tolist() == [b"Pasta", b"Cream", b"Milk", b""]
    np.testing.assert_array_equal(products.embeddings, np.eye(4))


def test_our_reader_fills_in_the_defaults_and_repeats_a_single_row(shop: Shop) -> None:
    """In batches of three, with a k for all and without the other columns."""
    model = saved_models.SavedModel(shop.folder, "saved_model", "recommend")
    asked = {"cust_person_id": np.array([name.encode() for name in ALL], object), "k": np.array([5], np.int32)}
    assert model(asked, batch=3)["product_ids"].tolist() == shop.best(shop.scores(*ALL), 5)
    excluding = model.another("recommend_excluding")
    assert excluding({}, batch=3)["product_ids"].tolist() == [shop.ids]
    assert set(excluding.defaults) == {*model.defaults, "exclude", "category"}
    with pytest.raises(InputError, match="expected the signature predict"):
        model.another("predict")
