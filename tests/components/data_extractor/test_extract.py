import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.common import examples, schema
from components.common.errors import InputError
from components.data_extractor.extract import extract
from tests import example_folders
from tests.components.data_extractor import oracle

ROOT = Path(__file__).resolve().parents[3]
CONFIG = str(ROOT / "feature_config.yaml")
START = 1_700_000_000
TEXTS = {"city": "string", "art_name": "string"}
EXTRAS = """
query:
  features:
    - {kind: id, name: cust_person_id}
    - {kind: text, name: channel}
    - {kind: temporal, name: opened}
  layers: [8]
  carried: {tags: list<string>, till: int64}
candidate:
  features:
    - {kind: id, name: product_id}
    - {kind: numeric, name: price}
    - {kind: cross, names: [brand, stratbuy_domain_desc]}
  layers: [8]
  carried: {labels: list<string>, weight: float}
"""


def run(log: tuple[str, str], output: Path, **arguments: Any) -> dict[str, Any]:
    settings = {"feature_config": CONFIG, **arguments}
    return extract(purchases=log[0], products=log[1], output_path=str(output), **settings)


@pytest.fixture(scope="module")
def plain(written_log: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples of the log as it is, by the defaults; to be read only."""
    folder: Path = tmp_path_factory.mktemp("plain") / "out"
    run(written_log, folder)
    return folder


def read_split(folder: Path, split: str, columns: dict[str, str] = schema.EXAMPLE) -> list[tuple]:
    kinds = {"string": tf.string, "int64": tf.int64, "float": tf.float32}
    spec = {name: tf.io.FixedLenFeature([], kinds[kind]) for name, kind in columns.items()}
    read = tf.io.parse_example(
        [record for file in examples.shards(str(folder / split)) for record in records(file)], spec
    )
    return oracle.comparable({name: values.numpy() for name, values in read.items()}, columns)


def facts_of(shard: Path) -> dict[str, Any]:
    return {"rows": len(example_folders.records(shard)), "crc32c": example_folders.crc32c(shard.read_bytes())}


def records(file: str) -> Iterator[bytes]:
    """All of a shard; a dataset of it would take ten times as long."""
    return tf.compat.v1.io.tf_record_iterator(file, tf.io.TFRecordOptions("GZIP"))


@pytest.mark.parametrize(
    ("split", "revenue"), [("temporal", "purchase"), ("random", "purchase"), ("temporal", "training")]
)
@pytest.mark.parametrize(("shares", "size", "least"), [((0.8, 0.15), 0, 1), ((0.6, 0.25), 12, 1), ((0.5, 0.3), 0, 40)])
def test_same_examples_as_the_oracle(
    small_log: tuple[str, str],
    tmp_path: Path,
    split: str,
    revenue: str,
    shares: tuple[float, float],
    size: int,
    least: int,
) -> None:
    rows, products = oracle.read_log(*small_log)
    parts = oracle.splits(rows, split, shares, size, least)
    expected = oracle.examples(parts, products, revenue)

    metadata = run(
        small_log,
        tmp_path / "out",
        split=split,
        revenue_as_of=revenue,
        train_share=shares[0],
        validation_share=shares[1],
        catalogue_size=size,
        min_purchases=least,
    )

    for name in schema.SPLITS:
        assert read_split(tmp_path / "out", name) == expected[name]
        times = [row["timestamp"] for row in parts[name]]
        assert metadata["splits"][name] == {
            "rows": len(times),
            "first_timestamp": min(times),
            "last_timestamp": max(times),
            "shards": {path.name: facts_of(path) for path in (tmp_path / "out" / name).iterdir()},
        }
    known, _ = oracle.before_test(rows, split, sum(shares), size, least)
    kept = oracle.catalogue(known, size, least)
    assert list(metadata["products"]) == [str(product) for product in sorted(kept)]
    assert metadata["products"] == {str(product): products[product] for product in kept}


def test_temporal_split_cuts_no_basket_and_leaks_no_revenue(plain: Path) -> None:
    baskets = {}
    for name in schema.SPLITS:
        read = examples.read(examples.shards(str(plain / name)), schema.EXAMPLE)
        baskets[name] = set(zip(read[schema.CUSTOMER], read[schema.TIMESTAMP], strict=True))
    assert not baskets["train"] & baskets["validation"]
    assert not baskets["validation"] & baskets["test"]
    assert max(t for _, t in baskets["train"]) < min(t for _, t in baskets["validation"])
    assert max(t for _, t in baskets["validation"]) < min(t for _, t in baskets["test"])


def write_log(folder: Path, customers: list[str], product_ids: list[int], seconds: list[int]) -> tuple[str, str]:
    """A log in which everything costs 0.1, and three products, all of them with metadata; seconds count from START."""
    purchases = {
        "cust_person_id": customers,
        "product_id": product_ids,
        "revenue": [0.1] * len(customers),
        "city": ["Ulm"] * len(customers),
        "timestamp": pa.array([START + second for second in seconds], pa.timestamp("s")),
    }
    products = {"product_id": [1, 2, 3]} | {name: ["x", "y", "z"] for name in schema.PRODUCT_COLUMNS}
    log = str(folder / "purchases.parquet"), str(folder / "products.parquet")
    pq.write_table(pa.table(purchases), log[0])
    pq.write_table(pa.table(products), log[1])
    return log


def test_ties_in_the_catalogue_go_to_the_smaller_id(tmp_path: Path) -> None:
    log = write_log(tmp_path, ["a", "b"] * 6, [3, 3, 2, 2, 1, 1] * 2, list(range(12)))
    metadata = run(log, tmp_path / "out", catalogue_size=2, train_share=0.5, validation_share=0.25)
    assert list(metadata["products"]) == ["1", "2"]


def test_the_catalogue_is_chosen_before_the_test(tmp_path: Path) -> None:
    """Twenty purchases a second apart: product 3 is bought by the most customers, but all of them are in the test."""
    bought = [1, 1, 1, 2, 2, 1, 2, 1, 2, 1, 1, 2, 1, 2, 1, 3, 3, 3, 3, 3]
    customers = ["a", "b", "c"] * 5 + list("defgh")
    log = write_log(tmp_path, customers, bought, list(range(20)))
    shares = {"train_share": 0.5, "validation_share": 0.25}

    def kept(name: str, **limits: Any) -> tuple[list[str], list[int]]:
        metadata = run(log, tmp_path / name, **shares, **limits)
        return list(metadata["products"]), [part["rows"] for part in metadata["splits"].values()]

    assert kept("all") == (["1", "2", "3"], [10, 5, 5])
    # Of the 15 rows of products 1 and 2 the test has those from second 11 on; before it they were bought 7 and 4 times.
    assert kept("two", catalogue_size=2) == (["1", "2"], [7, 4, 4])
    assert kept("three", catalogue_size=3) == (["1", "2"], [7, 4, 4])
    assert kept("often", min_purchases=4) == (["1", "2"], [7, 4, 4])
    assert kept("random", split="random", catalogue_size=1)[0] == ["3"]


def test_by_hand(tmp_path: Path) -> None:
    """Ten purchases: 6 train, 2 validation, 2 test. Customer b appears in training not at all."""
    # The boundaries at 60% and 80% fall between the baskets; the last two share a second.
    seconds = [0, 0, 1, 2, 3, 3, 4, 5, 6, 6]
    log = write_log(tmp_path, ["a"] * 8 + ["b", "a"], [1, 2] * 5, seconds)

    metadata = run(log, tmp_path / "out", train_share=0.6, validation_share=0.2, revenue_as_of="purchase")

    assert {name: part["rows"] for name, part in metadata["splits"].items()} == {"train": 6, "validation": 2, "test": 2}
    revenue = {(row[0], row[4]): row[2] for name in schema.SPLITS for row in read_split(tmp_path / "out", name)}
    # What was paid in training before each purchase: never for the basket itself, never in validation.
    spent = {0: 0.0, 1: 0.2, 2: 0.3, 3: 0.4, 4: 0.6, 5: 0.6, 6: 0.6}
    assert {time - START: paid for (customer, time), paid in revenue.items() if customer == "a"} == {
        time: np.float32(paid) for time, paid in spent.items()
    }
    assert revenue["b", START + 6] == 0.0
    assert list(metadata["products"]) == ["1", "2"]  # product 3 was never bought


def test_metadata_file_says_what_was_done(small_log: tuple[str, str], tmp_path: Path) -> None:
    metadata = run(small_log, tmp_path / "out", split="random")
    assert schema.read_metadata(str(tmp_path / "out" / "metadata.json")) == json.loads(json.dumps(metadata))
    assert metadata["schema"] == schema.EXAMPLE
    assert metadata["split"] == {"method": "random", "train_share": 0.8, "validation_share": 0.15}
    assert metadata["source"]["purchases"] == small_log[0]
    assert f"FROM `{small_log[0]}`" in metadata["source"]["query"]
    assert metadata["source"]["parameters"]["test_from"] == 0.95
    assert metadata["source"]["parameters"]["test_from_hex"] == "f33333333333"


def test_order_and_files_of_the_input_do_not_matter(small_log: tuple[str, str], plain: Path, tmp_path: Path) -> None:
    table = pq.read_table(small_log[0])
    order = np.random.default_rng(0).permutation(len(table))
    pq.write_table(table.take(order[:700]), tmp_path / "part-1.parquet", row_group_size=50)
    pq.write_table(table.take(order[700:]), tmp_path / "part-2.parquet")
    run((str(tmp_path / "part-*.parquet"), small_log[1]), tmp_path / "two")
    described = [schema.read_metadata(f"{folder}/metadata.json") for folder in (plain, tmp_path / "two")]
    assert described[0]["fingerprint"] == described[1]["fingerprint"] != ""
    assert described[0]["splits"] == described[1]["splits"]
    names = sorted(str(path.relative_to(plain)) for path in plain.rglob("*.gz"))
    assert names
    for name in names:
        assert (plain / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_many_streams_and_batches(small_log: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.data_extractor.parquet.BATCH", 2048)
    table = pq.read_table(small_log[0])
    customers = table["cust_person_id"].to_pylist()
    copies = [table.set_column(0, "cust_person_id", [[f"{name} #{i}" for name in customers]]) for i in range(10)]
    pq.write_table(pa.concat_tables(copies), small_log[0])
    rows, products = oracle.read_log(*small_log)
    expected = oracle.examples(oracle.splits(rows, "random", (0.8, 0.15)), products)
    metadata = run(small_log, tmp_path / "out", split="random")
    shards = [f"part-0000{i}-of-00004.tfrecord.gz" for i in range(4)]
    assert [list(metadata["splits"][name]["shards"]) for name in schema.SPLITS] == [shards] * 3
    assert sorted(os.listdir(tmp_path / "out" / "test")) == [f"part-0000{i}-of-00004.tfrecord.gz" for i in range(4)]
    for name in schema.SPLITS:
        assert read_split(tmp_path / "out", name) == expected[name]


def test_a_query_that_needs_more_memory_gets_it(
    small_log: tuple[str, str], plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.data_extractor.parquet.MEMORY_MB", 1)
    run(small_log, tmp_path / "two")
    for name in schema.SPLITS:
        assert read_split(plain, name) == read_split(tmp_path / "two", name)
    monkeypatch.setattr("components.data_extractor.parquet.MOST_MEMORY_MB", 1)
    with pytest.raises(InputError, match=r"found a query that needs more than 1 MB \(Out of Memory Error"):
        run(small_log, tmp_path / "three")


def test_extra_columns_travel(small_log: tuple[str, str], tmp_path: Path) -> None:
    purchases, products = pq.read_table(small_log[0]), pq.read_table(small_log[1])
    rows = range(len(purchases))
    bought: dict[str, list[Any]] = {
        "channel": [f"канал {i % 3}" for i in rows],
        "opened": list(rows),
        "tags": [[f"метка {j}" for j in range(i % 4)] for i in rows],
        "till": [-i for i in rows],
    }
    described: dict[str, list[Any]] = {
        "price": list(range(30)),
        "brand": [f"brand {i % 2}" for i in range(30)],
        "labels": [["bio", "🥦"] if i % 2 else [] for i in range(30)],
        "weight": [i / 4 for i in range(30)],
    }
    for name, values in bought.items():
        purchases = purchases.append_column(name, pa.chunked_array([values]))
    for name, values in described.items():
        kind = pa.int32() if name == "price" else None
        products = products.append_column(name, pa.chunked_array([pa.array(values, kind)]))
    pq.write_table(purchases, small_log[0])
    pq.write_table(products, small_log[1])

    metadata = run(small_log, tmp_path / "out", feature_config=EXTRAS)

    added = {"channel": "string", "opened": "int64", "tags": "list<string>", "till": "int64"}
    added |= {"price": "float", "brand": "string", "labels": "list<string>", "weight": "float"}
    assert metadata["schema"] == {**schema.EXAMPLE, **added}
    seen = []
    for shard in (tmp_path / "out").rglob("*.gz"):
        for record in records(str(shard)):
            features = tf.train.Example.FromString(record).features.feature
            kinds = {"int64": "int64_list", "float": "float_list"}
            read = {name: list(getattr(features[name], kinds.get(k, "bytes_list")).value) for name, k in added.items()}
            seen.append({name: [v.decode() if isinstance(v, bytes) else v for v in vs] for name, vs in read.items()})
    product = {id_: i for i, id_ in enumerate(products["product_id"].to_pylist())}
    expected = []
    for i, id_ in enumerate(purchases["product_id"].to_pylist()):
        row: dict[str, Any] = {name: values[i] for name, values in bought.items()}
        row |= {name: values[product[id_]] for name, values in described.items()}
        expected.append({name: value if isinstance(value, list) else [value] for name, value in row.items()})
    assert sorted(seen, key=lambda row: row["opened"]) == expected
    first = metadata["products"][str(products["product_id"][1].as_py())]
    assert first == {
        **{name: products[name][1].as_py() for name in schema.PRODUCT_COLUMNS},
        **{"price": 1.0, "brand": "brand 1", "labels": ["bio", "🥦"], "weight": 0.25},
    }


def test_missing_texts_travel_as_empty_ones(small_log: tuple[str, str], tmp_path: Path) -> None:
    purchases, products = pq.read_table(small_log[0]), pq.read_table(small_log[1])
    cities = [None if i % 5 == 0 else city for i, city in enumerate(purchases["city"].to_pylist())]
    pq.write_table(purchases.set_column(3, "city", [cities]), small_log[0])
    names = [None, *products["art_name"].to_pylist()[1:]]
    pq.write_table(products.set_column(1, "art_name", [names]), small_log[1])

    metadata = run(small_log, tmp_path / "out")

    seen = [row for name in schema.SPLITS for row in read_split(tmp_path / "out", name, TEXTS)]
    ids, first = purchases["product_id"].to_pylist(), products["product_id"][0].as_py()
    assert sum(city == "" for city, _ in seen) == cities.count(None)
    assert sum(name == "" for _, name in seen) == ids.count(first) > 0
    assert metadata["products"][str(first)]["art_name"] == ""
    report = json.loads((tmp_path / "out" / "data_report.json").read_text())
    assert report["features"]["city"]["nulls"] == cities.count(None)
    assert report["features"]["art_name"]["nulls"] == ids.count(first)


@pytest.mark.parametrize(
    ("column", "make"),
    [
        ("timestamp", lambda c: c.cast(pa.timestamp("us"))),  # without a zone: UTC
        ("timestamp", lambda c: c.cast(pa.timestamp("ns", "Europe/Berlin"))),
        ("revenue", lambda c: c.cast(pa.decimal128(12, 2), safe=False)),
        ("revenue", lambda c: c.cast(pa.float32())),
    ],
)
def test_other_types_of_a_retailer_give_the_same_rows(
    small_log: tuple[str, str], plain: Path, tmp_path: Path, column: str, make: Any
) -> None:
    table = pq.read_table(small_log[0])
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, make(table[column])), small_log[0])
    run(small_log, tmp_path / "two")
    for name in schema.SPLITS:
        one, two = (read_split(folder, name) for folder in (plain, tmp_path / "two"))
        assert [row[:2] + row[3:] for row in one] == [row[:2] + row[3:] for row in two]
        np.testing.assert_allclose([row[2] for row in one], [row[2] for row in two], rtol=1e-6)


def test_extreme_ids(small_log: tuple[str, str], tmp_path: Path) -> None:
    for path in small_log:
        table = pq.read_table(path)
        ids = [
            0 if i == 306_344_001_001 else 2**63 - 1 if i == 306_345_001_004 else i
            for i in table["product_id"].to_pylist()
        ]
        pq.write_table(table.set_column(table.column_names.index("product_id"), "product_id", [ids]), path)
    metadata = run(small_log, tmp_path / "out")
    products = list(metadata["products"])
    assert (products[0], products[-1]) == ("0", str(2**63 - 1))
