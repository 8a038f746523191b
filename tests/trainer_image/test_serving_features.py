"""Every kind of feature on both towers: raw rows through the exported models, by hand, and as training saw them."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common import examples, saved_models
from components.common.schema import PRODUCT
from tests.trainer_image import every_kind
from tests.trainer_image.every_kind import CONFIG, Shop, Side
from tests.trainer_image.towers_by_hand import Row, embed
from trainer_image.model import DTYPES

LIST_OF = {"string": "bytes_list", "int64": "int64_list", "float": "float_list"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return every_kind.build(tmp_path_factory.mktemp("shop"))


def by_hand(shop: Shop, side: str, rows: list[Row]) -> np.ndarray:
    return np.stack([embed(CONFIG[side], shop.vocabularies, shop.sides[side].tower, row) for row in rows])


def serve(side: Side, rows: list[Row]) -> np.ndarray:
    raw = {name: tf.constant([row[name] for row in rows], DTYPES[kind]) for name, kind in side.encoder.columns.items()}
    return side.served.signature(**raw)["embedding"].numpy()


def training(side: Side, rows: list[Row]) -> np.ndarray:
    """As training does it: Examples are parsed and encoded once, and the tower reads the codes."""
    records = []
    for row in rows:
        example = tf.train.Example()
        for name, kind in side.encoder.columns.items():
            getattr(example.features.feature[name], LIST_OF[kind]).value.append(row[name])
        records.append(example.SerializeToString())
    encoded = {key: value.numpy() for key, value in side.parse(tf.constant(records)).items()}
    return side.tower(encoded).numpy()


def expect_alike(shop: Shop, side: str, rows: list[Row]) -> None:
    served, expected = serve(shop.sides[side], rows), by_hand(shop, side, rows)
    size = np.abs(expected).max()
    np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-5 * size)
    np.testing.assert_allclose(training(shop.sides[side], rows), served, rtol=1e-5, atol=1e-6 * size)


texts = (
    st.text().map(str.encode)
    | st.binary()
    | st.sampled_from(
        [b"", b"[UNK]", b"\0", b"K\xc3\xb6ln", b"Ko\xcc\x88ln", b"K\xc3\xb6ln\0", b"\xff", b"web", b"app\n"]
    )
)
moments = st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**32), 2**32)


def numbers(shop: Shop, name: str) -> st.SearchStrategy[float]:
    """Any number, NaN and infinity included, and the boundaries of the buckets with their neighbours."""
    cuts = np.array(shop.vocabularies[name]["quantiles"], np.float32)
    near = [cuts, np.nextafter(cuts, np.float32(np.inf)), np.nextafter(cuts, np.float32(-np.inf))]
    # TensorFlow takes subnormal numbers for 0.
    normal = [float(cut) for cut in np.concatenate(near) if cut == 0 or abs(cut) > np.finfo(np.float32).tiny]
    return st.floats(width=32, allow_subnormal=False) | st.sampled_from(normal)


def tokens(shop: Shop, name: str) -> st.SearchStrategy[bytes]:
    return st.sampled_from([token.encode() for token in shop.vocabularies[name]["tokens"]]) | texts


def test_every_kind_is_on_both_towers() -> None:
    for side in CONFIG.values():
        kinds = {(entry["kind"], entry.get("transform")) for entry in side["features"]}
        assert {kind for kind, _ in kinds} == {"id", "text", "numeric", "temporal", "cross"}
        assert {("numeric", None), ("numeric", "bucketize")} <= kinds


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_customer_is_embedded_as_by_hand(shop: Shop, data: st.DataObject) -> None:
    row = st.fixed_dictionaries(
        {
            "registered_at": moments,
            "cust_person_id": tokens(shop, "cust_person_id"),
            "revenue": numbers(shop, "revenue"),
            "city": tokens(shop, "city"),
            "visits": numbers(shop, "visits"),
            "timestamp": moments,
            "channel": texts,
        }
    )
    expect_alike(shop, "query", data.draw(st.lists(row, min_size=1, max_size=8)))


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_product_is_embedded_as_by_hand(shop: Shop, data: st.DataObject) -> None:
    known = st.sampled_from([int(token) for token in shop.vocabularies["product_id"]["tokens"]])
    row = st.fixed_dictionaries(
        {
            "stratbuy_domain_desc": tokens(shop, "art_name"),
            "brand": tokens(shop, "brand"),
            "price": numbers(shop, "price"),
            "product_id": known | st.integers(-(2**63), 2**63 - 1),
            "listed_at": moments,
            "art_name": tokens(shop, "art_name"),
        }
    )
    expect_alike(shop, "candidate", data.draw(st.lists(row, min_size=1, max_size=8)))


def test_the_catalogue_comes_whole_from_the_product_table(shop: Shop) -> None:
    """Numbers, times and texts, through metadata.json, as the Trainer, the Evaluator and the Exporter read them."""
    served = shop.sides["candidate"].served
    raw = saved_models.product_columns(shop.model.catalogue, shop.products, served.columns, "metadata.json")
    assert {name: column.dtype for name, column in raw.items()} == {
        **dict.fromkeys(("stratbuy_domain_desc", "art_name", "brand"), np.dtype(object)),
        **dict.fromkeys(("product_id", "listed_at"), np.dtype(np.int64)),
        "price": np.dtype(np.float32),
    }
    rows = {}
    for row in pq.read_table(shop.folder / "products.parquet").to_pylist():
        texts = {name: (row[name] or "").encode() for name in ("stratbuy_domain_desc", "art_name", "brand")}
        rows[str(row["product_id"])] = row | texts
    expected = by_hand(shop, "candidate", [rows[product] for product in shop.model.catalogue])
    size = np.abs(expected).max()
    embedded = served.embed(raw, PRODUCT)
    np.testing.assert_allclose(embedded, expected, rtol=1e-4, atol=1e-5 * size)
    trained = shop.model.candidate_tower(shop.model.encoded_catalogue).numpy()
    np.testing.assert_allclose(trained, embedded, rtol=1e-5, atol=1e-6 * size)


def test_training_rows_are_embedded_alike_in_training_and_serving(shop: Shop) -> None:
    """Encoded inside tf.data, by the batch, as the Trainer does it."""
    side = shop.sides["query"]
    shards = examples.shards(f"{shop.folder}/examples/train")
    rows: list[Row] = []
    for file in shards:
        for record in tf.data.TFRecordDataset(file, compression_type="GZIP").as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            columns = side.encoder.columns.items()
            rows.append({name: getattr(feature[name], LIST_OF[kind]).value[0] for name, kind in columns})
    assert len(rows) > 300
    data = examples.dataset(shards, side.encoder.columns, batch=100).map(side.encoder)
    trained = np.concatenate([side.tower(encoded).numpy() for encoded in data.as_numpy_iterator()])
    served, expected = serve(side, rows), by_hand(shop, "query", rows[:40])
    size = np.abs(expected).max()
    np.testing.assert_allclose(trained, served, rtol=1e-5, atol=1e-6 * size)
    np.testing.assert_allclose(served[:40], expected, rtol=1e-4, atol=1e-5 * size)


ALONE = """
import json, sys
import numpy as np, tensorflow as tf
answers = {}
for folder, rows in json.loads(sys.argv[1]).items():
    signature = tf.saved_model.load(folder).signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    raw = {name: tf.constant(rows[name], spec.dtype) for name, spec in specs.items()}
    answers[folder] = signature(**raw)["embedding"].numpy().tolist()
assert not {"keras", "tensorflow_recommenders", "trainer_image", "components"} & set(sys.modules)
print(json.dumps(answers))
"""
VALUES: dict[str, list[Any]] = {"string": ["Köln", "", "🛒"], "int64": [-1, 2**62, 0], "float": [0.5, -1e30, 7.0]}


@pytest.fixture(scope="module")
def answered_alone(shop: Shop) -> dict[str, np.ndarray]:
    """The embeddings of VALUES from both models in a process without a line of ours."""
    asked = {
        f"{side}_model": {name: VALUES[kind] for name, kind in shop.sides[side].encoder.columns.items()}
        for side in ("query", "candidate")
    }
    command = [sys.executable, "-c", ALONE, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=shop.folder)
    assert not done.returncode, done.stderr
    return {folder: np.array(answer) for folder, answer in json.loads(done.stdout).items()}


@pytest.mark.parametrize("side", ["query", "candidate"])
def test_tensorflow_alone_serves_the_model(shop: Shop, answered_alone: dict[str, np.ndarray], side: str) -> None:
    raw = {name: VALUES[kind] for name, kind in shop.sides[side].encoder.columns.items()}
    rows = [{name: value[i] for name, value in raw.items()} for i in range(3)]
    for row in rows:
        row.update({name: value.encode() for name, value in row.items() if isinstance(value, str)})
    expected = by_hand(shop, side, rows)
    np.testing.assert_allclose(answered_alone[f"{side}_model"], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_a_served_model_of_every_kind_answers_whatever_is_left_out(shop: Shop) -> None:
    """A missing number is the median, a missing text the empty one, as for the tower itself."""
    from components.exporter import catalogue, serving_model

    ids = list(shop.products)
    query, candidate = (saved_models.SavedModel(str(shop.folder), f"{side}_model") for side in ("query", "candidate"))
    products = catalogue.read(ids, candidate, shop.products, "metadata.json")
    serving_model.write(str(shop.folder / "served"), serving_model.ServingModel(query, candidate, products))
    served = tf.saved_model.load(str(shop.folder / "served"))

    times = {name: tf.constant([1_650_000_000], tf.int64) for name in ("timestamp", "registered_at")}
    revenue = shop.vocabularies["revenue"]["quantiles"]
    row: Row = {"registered_at": 1_650_000_000, "timestamp": 1_650_000_000, "cust_person_id": b"", "city": b""}
    row |= {"channel": b"", "revenue": revenue[len(revenue) // 2], "visits": 3.0}
    expected = by_hand(shop, "query", [row])
    np.testing.assert_allclose(served.query_embedding(**times)["embedding"], expected, rtol=1e-4, atol=1e-5)

    candidates = by_hand(shop, "candidate", [{PRODUCT: int(id_), **shop.products[id_]} for id_ in ids])
    known = {**times, "cust_person_id": tf.constant(["customer 0", "клиент 1 🛒", "nobody"])}
    found = served.recommend(**known, k=tf.constant([20]))
    scores = served.query_embedding(**known)["embedding"].numpy() @ candidates.T
    np.testing.assert_allclose(found["scores"], -np.sort(-scores, axis=1), rtol=1e-3, atol=1e-4)
    assert (np.sort(found["product_ids"], axis=1) == np.sort(np.array(ids, np.int64))).all()
