"""A world small enough to rank by hand: examples, vocabularies, and SavedModels whose scores are given."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

BEGIN = 1_500_000_000
CATALOGUE = [11, 12, 13, 14]
PRODUCTS = {
    str(product): {
        "art_name": name,
        "stratbuy_domain_desc": category,
        "mge_main_cat_desc": subcategory,
    }
    for product, name, category, subcategory in (
        (11, "Spaghetti <script>alert(1)</script>", "Dry food", "Pasta"),
        (12, "Crème fraîche & Käse", "Dairy", "Cream"),
        (13, "Молоко 3,2 %", "Dairy", "Milk"),
        (14, "Soap", "Household", ""),
        (15, "Not sold in training", "Household", "Soap"),
    )
}
TRAIN = [*[("ann", 11)] * 3, ("ann", 12), *[("bob", 12)] * 2, ("bob", 13), ("cyd", 14)]
TEST = [("ann", 11), ("ann", 14), ("bob", 13), ("cyd", 14), ("dan", 12), ("ann", 15)]
VALIDATION = [("ann", 14), ("bob", 14)]
CITIES = {"cyd": "Köln", "dan": "Bonn"}  # everybody else is of Ulm
SCORES = {"ann": [4, 3, 2, 1], "bob": [1, 1, 1, 1], "cyd": [0, 1, 2, 3], "dan": [1, 2, 2, 0]}


_ORIGINALS = tempfile.TemporaryDirectory()  # goes with this process
_WRITTEN: dict[Hashable, Path] = {}


class Lookup(tf.Module):
    """Rows of a table by key; what the table does not hold gets zeros."""

    def __init__(self, keys: tf.Tensor, rows: np.ndarray):
        super().__init__()
        values = tf.range(len(rows), dtype=tf.int64)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1)
        self.rows = tf.Variable(np.vstack([rows, np.zeros((1, rows.shape[1]))]).astype("f4"))

    def __call__(self, keys: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.rows, self.table.lookup(keys) % tf.shape(self.rows, tf.int64)[0])


class Query(tf.Module):
    """A query tower of the customer, the revenue and perhaps one more column; only the customer matters."""

    def __init__(self, lookup: Lookup, column: str = ""):
        super().__init__()
        self.lookup = lookup
        customer, revenue = (
            tf.TensorSpec([None], tf.string, "cust_person_id"),
            tf.TensorSpec([None], tf.float32, "revenue"),
        )
        further = {column: tf.TensorSpec([None], tf.string, column)} if column else {}
        self.serve = tf.function(self.embed, autograph=False).get_concrete_function(customer, revenue, **further)

    def embed(self, cust_person_id: tf.Tensor, revenue: tf.Tensor, **further: tf.Tensor) -> dict[str, tf.Tensor]:
        nothing: tf.Tensor = sum(
            0.0 * tf.cast(tf.strings.length(text), tf.float32)[:, None] for text in further.values()
        )
        nothing += tf.math.multiply_no_nan(revenue, 0.0)[:, None]  # a NaN is no number like any other
        return {"embedding": self.lookup(cust_person_id) + nothing}


class Candidate(tf.Module):
    def __init__(self, lookup: Lookup):
        super().__init__()
        self.lookup = lookup

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None], tf.int64, "product_id"),
            tf.TensorSpec([None], tf.string, "stratbuy_domain_desc"),
        ],
    )
    def serve(self, product_id: tf.Tensor, stratbuy_domain_desc: tf.Tensor) -> dict[str, tf.Tensor]:
        nothing = 0.0 * tf.cast(tf.strings.length(stratbuy_domain_desc), tf.float32)
        return {"embedding": self.lookup(product_id) + nothing[:, None]}


class Retriever(tf.Module):
    def __init__(self, query: Lookup, candidates: np.ndarray, product_ids: list[int], k: int):
        super().__init__()
        self.query, self.k = query, k
        self.candidates = tf.Variable(candidates.astype("f4"))
        self.product_ids = tf.constant(product_ids, tf.int64)

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None], tf.string, "cust_person_id"),
            tf.TensorSpec([None], tf.float32, "revenue"),
        ],
    )
    def serve(self, cust_person_id: tf.Tensor, revenue: tf.Tensor) -> dict[str, tf.Tensor]:
        embedding = self.query(cust_person_id) + 0 * revenue[:, None]
        scores, places = tf.math.top_k(tf.matmul(embedding, self.candidates, transpose_b=True), self.k)
        return {"product_ids": tf.gather(self.product_ids, places), "scores": scores}


def write_model(
    folder: Path,
    scores: Mapping[str, Iterable[float]] = SCORES,
    catalogue: list[int] = CATALOGUE,
    candidates: np.ndarray | None = None,
    k: int = 3,
    query_column: str = "",
    query_model: bool = True,
    **metadata: Any,
) -> str:
    """Writes model/.

    Args:
        folder: Where.
        scores: Customer to query embedding [D].
        catalogue: Product ids in the order of the index.
        candidates: Candidate embeddings [N, D]; by default the identity, so that query embeddings are the scores.
        k: How many products saved_model returns.
        query_column: A text column that the query tower reads besides.
        query_model: Whether there is one.
        metadata: Further keys of model_metadata.json.
    """
    candidates = np.eye(len(catalogue)) if candidates is None else candidates
    customers, rows = list(scores), np.array([list(row) for row in scores.values()], "f4")
    query, candidate = contents(customers, rows), contents(catalogue, candidates)

    def lookup() -> Lookup:
        return Lookup(tf.constant(customers), rows)

    modules: dict[str, tuple[Hashable, Callable[[], Query | Candidate | Retriever]]] = {
        "query_model": ((query, query_column), lambda: Query(lookup(), query_column)),
        "candidate_model": (candidate, lambda: Candidate(Lookup(tf.constant(catalogue, tf.int64), candidates))),
        "saved_model": ((query, candidate, k), lambda: Retriever(lookup(), candidates, catalogue, k)),
    }
    if not query_model:
        del modules["query_model"]
    if rows.shape[1] != candidates.shape[1]:
        del modules["saved_model"]
    for name, (content, module) in modules.items():
        save(folder / name, content, module)
    document = {"model_version": "v1", "catalogue": [str(product) for product in catalogue], **metadata}
    (folder / "model_metadata.json").write_text(json.dumps(document), encoding="utf-8")
    return str(folder)


def contents(names: list[Any], rows: np.ndarray) -> Hashable:
    """What tells one table from another."""
    return tuple(names), rows.shape, rows.astype("f4").tobytes()


def save(folder: Path, content: Hashable, module: Callable[[], Any]) -> None:
    """Writes the SavedModel of a module that has `serve`; one of the same content is written once, and copied.

    Args:
        folder: Where.
        content: What tells the SavedModel from others of that name.
        module: Makes the module.
    """
    key = folder.name, content
    if key not in _WRITTEN:
        made = module()
        _WRITTEN[key] = Path(_ORIGINALS.name) / str(len(_WRITTEN))
        tf.saved_model.save(made, str(_WRITTEN[key]), {"serving_default": made.serve})
    shutil.copytree(_WRITTEN[key], folder)


def write_examples(
    folder: Path,
    train: list[tuple[str, int]] = TRAIN,
    test: list[tuple[str, int]] = TEST,
    products: Mapping[str, Mapping[str, str]] = PRODUCTS,
    validation: list[tuple[str, int]] = VALIDATION,
    has_city: bool = True,
) -> str:
    """Writes examples/: a split every thousand seconds, two rows of it a second."""
    facts, columns = {}, {"cust_person_id": "string", "product_id": "int64", "timestamp": "int64", "revenue": "float"}
    for number, (split, rows) in enumerate({"train": train, "validation": validation, "test": test}.items()):
        (folder / split).mkdir(parents=True)
        _write_shard(folder / split / "part-00000-of-00001.tfrecord.gz", rows, BEGIN + 1000 * number, has_city)
        facts[split] = {"rows": len(rows), "first_timestamp": 1483228800, "last_timestamp": 1514764799}
    columns |= {"city": "string"} if has_city else {}
    document = {"format_version": 1, "schema": columns, "splits": facts, "products": products}
    (folder / "metadata.json").write_text(json.dumps(document), encoding="utf-8")
    return str(folder)


def write_vocabularies(path: Path, train: list[tuple[str, int]] = TRAIN) -> str:
    columns = {
        "cust_person_id": Counter(customer for customer, _ in train),
        "product_id": Counter(str(product) for _, product in train),
    }
    features = {}
    for column, counts in columns.items():
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        features[column] = {"tokens": [token for token, _ in ranked], "counts": [count for _, count in ranked]}
    path.write_text(json.dumps({"format_version": 1, "features": features}), encoding="utf-8")
    return str(path)


def _write_shard(path: Path, rows: list[tuple[str, int]], begin: int, has_city: bool) -> None:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for number, (customer, product) in enumerate(rows):
            city = CITIES.get(customer, "Ulm").encode()
            features = {
                "timestamp": tf.train.Feature(int64_list=tf.train.Int64List(value=[begin + number // 2])),
                **({"city": tf.train.Feature(bytes_list=tf.train.BytesList(value=[city]))} if has_city else {}),
                "cust_person_id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[customer.encode()])),
                "product_id": tf.train.Feature(int64_list=tf.train.Int64List(value=[product])),
                "revenue": tf.train.Feature(float_list=tf.train.FloatList(value=[float(len(customer))])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
