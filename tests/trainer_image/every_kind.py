"""A shop whose config has every kind of feature on both towers, from raw tables to exported models."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.common import feature_config as fc
from components.common import saved_models
from components.common.schema import read_metadata
from components.common.vocabularies import read_vocabularies
from components.data_extractor.extract import extract
from components.vocab_builder.build import build_vocabularies
from trainer_image.export import Embedder
from trainer_image.features import Encoder
from trainer_image.model import DTYPES, Encoders, TwoTower
from trainer_image.towers import Tower

CONFIG: dict[str, Any] = {
    "query": {
        "features": [
            {"kind": "temporal", "name": "registered_at", "periods": ["month", "weekday"]},
            {"kind": "id", "name": "cust_person_id", "dim": 8},
            {"kind": "numeric", "name": "revenue"},
            {"kind": "numeric", "name": "revenue", "transform": "bucketize", "buckets": 7, "dim": 4},
            {"kind": "text", "name": "city", "dim": "auto"},
            {"kind": "numeric", "name": "visits"},
            {"kind": "temporal", "name": "timestamp"},
            {"kind": "cross", "names": ["city", "channel", "cust_person_id"], "buckets": 50, "dim": 4},
        ],
        "layers": [16, 8],
    },
    "candidate": {
        "features": [
            {"kind": "cross", "names": ["stratbuy_domain_desc", "brand"], "buckets": 20, "dim": 4},
            {"kind": "numeric", "name": "price", "transform": "bucketize", "buckets": 10, "dim": 4},
            {"kind": "id", "name": "product_id", "dim": 8},
            {"kind": "numeric", "name": "price"},
            {"kind": "temporal", "name": "listed_at"},
            {"kind": "text", "name": "art_name", "dim": 4},
            {"kind": "id", "name": "brand", "dim": 4},
        ],
        "layers": [12, 8],
    },
}


class Side(NamedTuple):
    """One tower: as training has it, and exported and loaded again.

    Attributes:
        parse: Serialized Examples to encoded features, as training makes them.
    """

    encoder: Encoder
    tower: Tower
    served: saved_models.SavedModel
    parse: Any


class Shop(NamedTuple):
    """A model of a real extraction, with weights that are all different from 0."""

    model: TwoTower
    vocabularies: dict[str, Any]
    products: dict[str, dict[str, Any]]
    folder: Path
    sides: dict[str, Side]


def build(folder: Path) -> Shop:
    config = json.dumps(CONFIG)
    extract(**write_tables(folder), output_path=f"{folder}/examples", feature_config=config)
    paths = {"vocabularies": f"{folder}/vocabularies.json", "metadata": f"{folder}/examples/metadata.json"}
    build_vocabularies(examples=f"{folder}/examples", feature_config=config, output_path=paths["vocabularies"])
    products, vocabularies = read_metadata(paths["metadata"])["products"], read_vocabularies(paths["vocabularies"])
    loaded = fc.load(config)
    model = TwoTower(loaded, Encoders(loaded, vocabularies, products, paths), l1=0.0)
    random = np.random.default_rng(3)
    model.set_values([random.normal(0, 0.5, value.shape).astype(np.float32) for value in model.get_values()])
    sides = {
        "query": exported(folder, "query_model", model.query_encoder, model.query_tower),
        "candidate": exported(folder, "candidate_model", model.candidate_encoder, model.candidate_tower),
    }
    return Shop(model, vocabularies, products, folder, sides)


def exported(folder: Path, name: str, encoder: Encoder, tower: Tower) -> Side:
    module = Embedder(encoder, tower)
    specs = {column: tf.TensorSpec([None], DTYPES[kind], column) for column, kind in encoder.columns.items()}
    signatures = {"serving_default": module.serve.get_concrete_function(**specs)}
    tf.saved_model.save(module, str(folder / name), signatures)
    features = {column: tf.io.FixedLenFeature([], DTYPES[kind]) for column, kind in encoder.columns.items()}
    parse = tf.function(
        lambda records: encoder(tf.io.parse_example(records, features)), [tf.TensorSpec([None], tf.string)]
    )
    return Side(encoder, tower, saved_models.SavedModel(str(folder), name), parse)


def write_tables(folder: Path) -> dict[str, Any]:
    """600 purchases of 25 customers and 20 products, with columns of every type on both sides."""
    random = np.random.default_rng(11)
    rows = 600
    customer = random.integers(0, 25, rows)
    times = np.sort(random.integers(1_600_000_000, 1_700_000_000, rows))
    ids = np.append(np.arange(19) * 1_000_003 + 306_344_001_001, 2**63 - 1)
    purchases = {
        "cust_person_id": [f"клиент {i} 🛒" if i % 2 else f"customer {i}" for i in customer],
        "product_id": random.choice(ids, rows),
        "revenue": np.round(random.gamma(2, 30, rows), 2),
        "city": [[None, "Köln", "Łódź", "北京", "[UNK]"][i % 5] for i in customer],
        "timestamp": pa.array(times, pa.timestamp("s", "UTC")),
        "registered_at": -1_000_000_000 + customer * 70_000_000,
        "visits": np.full(rows, 3.0),  # a constant
        "channel": [["", "web", "app\n"][i % 3] for i in range(rows)],
    }
    products = {
        "product_id": ids,
        "art_name": [f"Crème «{i // 2}»" if i else None for i in range(20)],
        "stratbuy_domain_desc": [f"категория {i % 3}" for i in range(20)],
        "mge_main_cat_desc": [f"sub {i % 6}" for i in range(20)],
        "price": np.where(np.arange(20) % 3 == 0, 0.0, np.round(random.gamma(1, 40, 20), 2)),
        "listed_at": random.integers(-3_000_000_000, 1_600_000_000, 20),
        "brand": [["", "A", "Ä", "[UNK]"][i % 4] for i in range(20)],
    }
    for name, table in (("purchases", purchases), ("products", products)):
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return {name: str(folder / f"{name}.parquet") for name in ("purchases", "products")}
