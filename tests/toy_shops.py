"""Toy shops for the Trainer: written with TensorFlow's own tools, so that nothing under test made them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import trainer_image  # noqa: F401  chooses Keras before TensorFlow is imported
from trainer_image.options import Options

CUSTOMERS, PRODUCTS = 40, 12
CITIES = ["Köln", "Łódź", "北京"]
ROWS = {"train": 2000, "validation": 400, "test": 200}


class Shop(NamedTuple):
    """Paths of a finished extraction, and its rows."""

    examples: str
    vocabularies: str
    metadata: str
    rows: dict[str, list[dict[str, Any]]]
    products: dict[str, dict[str, str]]

    def options(self, output: Path | str, **changes: Any) -> Options:
        defaults: dict[str, Any] = {
            "tfrecords_path": self.examples,
            "vocabularies_path": self.vocabularies,
            "metadata_path": self.metadata,
            "output_path": str(output),
            "feature_config": "feature_config.yaml",
            "epochs": 4,
            "batch_size": 100,
            "learning_rate": 0.01,
            "warmup_steps": 10,
            "top_k": 5,
        }
        return Options(**{**defaults, **changes})


def write_shard(path: Path, rows: list[dict[str, Any]]) -> None:
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for row in rows:
            example = tf.train.Example()
            for name, value in row.items():
                feature = example.features.feature[name]
                if isinstance(value, str):
                    feature.bytes_list.value.append(value.encode())
                elif isinstance(value, float):
                    feature.float_list.value.append(value)
                else:
                    feature.int64_list.value.append(int(value))
            writer.write(example.SerializeToString())


def favourites(folder: Path) -> Shop:
    """Writes a shop of forty customers who buy mostly three of twelve products, so that there is something to learn."""
    random = np.random.default_rng(7)
    products = {
        str(1000 + i): {
            "art_name": f"Товар «{i}» 🛒",
            "stratbuy_domain_desc": f"category {i % 2}",
            "mge_main_cat_desc": f"subcategory {i % 4}",
        }
        for i in range(PRODUCTS)
    }
    ids = list(products)
    revenue = random.gamma(2.0, 100.0, CUSTOMERS).astype(np.float32)
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, count in ROWS.items():
        rows[split] = []
        for time in range(count):
            customer = int(random.integers(CUSTOMERS))
            favourite = (customer + int(random.integers(3))) % PRODUCTS
            product = ids[favourite if random.random() < 0.8 else int(random.integers(PRODUCTS))]
            rows[split].append(
                {
                    "cust_person_id": f"customer {customer}",
                    "product_id": int(product),
                    "revenue": float(revenue[customer]),
                    "city": CITIES[customer % 3],
                    "timestamp": 1_700_000_000 + 3600 * time,
                    **products[product],
                }
            )
        half = count // 2
        write_shard(folder / split / "part-00000-of-00002.tfrecord.gz", rows[split][:half])
        write_shard(folder / split / "part-00001-of-00002.tfrecord.gz", rows[split][half:])
    metadata = {
        "format_version": 1,
        "schema": {"cust_person_id": "string"},
        "splits": {split: {"rows": count} for split, count in ROWS.items()},
        "products": products,
    }
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    vocabularies = {"format_version": 1, "rows": ROWS["train"], "features": vocabulary(rows["train"])}
    (folder / "vocabularies.json").write_text(json.dumps(vocabularies), encoding="utf-8")
    return Shop(str(folder), str(folder / "vocabularies.json"), str(folder / "metadata.json"), rows, products)


def vocabulary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    features: dict[str, Any] = {}
    for name in ("cust_person_id", "product_id", "city", "stratbuy_domain_desc", "mge_main_cat_desc"):
        counted = sorted(Counter(str(row[name]) for row in rows).items(), key=lambda item: (-item[1], item[0]))
        features[name] = {"tokens": [token for token, _ in counted], "counts": [count for _, count in counted]}
    revenue = np.array([row["revenue"] for row in rows])
    features["revenue"] = {
        "mean": float(revenue.mean()),
        "variance": float(revenue.var()),
        "quantiles": np.quantile(revenue, np.linspace(0, 1, 101)).tolist(),
    }
    return features


def moved(shop: Shop, folder: Path, rows: dict[str, list[dict[str, Any]]]) -> Shop:
    """Writes the shop with other rows and the same vocabularies."""
    for split, of_split in rows.items():
        write_shard(folder / split / "part-00000-of-00001.tfrecord.gz", of_split)
    document = json.loads(Path(shop.metadata).read_text(encoding="utf-8"))
    document["splits"] = {split: {"rows": len(of_split)} for split, of_split in rows.items()}
    (folder / "metadata.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "vocabularies.json").write_bytes(Path(shop.vocabularies).read_bytes())
    paths = str(folder / "vocabularies.json"), str(folder / "metadata.json")
    return Shop(str(folder), *paths, rows, shop.products)


def in_time(shop: Shop, folder: Path) -> Shop:
    """Writes the shop with the same rows, the splits one after the other."""
    rows, start = {}, 0
    for split, of_split in shop.rows.items():
        rows[split] = [{**row, "timestamp": 1_700_000_000 + 3600 * (start + i)} for i, row in enumerate(of_split)]
        start += len(of_split)
        write_shard(folder / split / "part-00000-of-00001.tfrecord.gz", rows[split])
    document = json.loads(Path(shop.metadata).read_text(encoding="utf-8"))
    document["split"] = {"method": "temporal"}
    (folder / "metadata.json").write_text(json.dumps(document), encoding="utf-8")
    return Shop(str(folder), shop.vocabularies, str(folder / "metadata.json"), rows, shop.products)
