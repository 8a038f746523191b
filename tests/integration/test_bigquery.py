"""The extraction from BigQuery, against an emulator that speaks its REST and Storage Read protocols."""

import contextlib
import itertools
import time
from collections import Counter
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
from components.data_extractor import bigquery_read
from components.data_extractor.bigquery import BigQuerySource
from components.data_extractor.extract import extract
from demo import data
from tests.servers import bigquery as server
from tests.servers import proxy

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "feature_config.yaml")
EXTRAS = """
query:
  features:
    - {kind: id, name: cust_person_id}
    - {kind: text, name: channel}
    - {kind: temporal, name: opened}
  layers: [8]
  carried: {tags: list<string>}
candidate:
  features:
    - {kind: id, name: product_id}
    - {kind: numeric, name: price}
  layers: [8]
  carried: {labels: list<string>, weight: float}
"""
KEPT, LEFT_OUT = 100_000, 1_000
MESSAGE_ROWS = 2048
MESSAGE = 38 * MESSAGE_ROWS  # bytes of a message of `big`, about


@pytest.fixture(scope="module")
def emulator() -> Iterator[server.Emulator]:
    with server.running(MESSAGE_ROWS) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def environment(emulator: server.Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, address in emulator.environment().items():
        monkeypatch.setenv(name, address)
    monkeypatch.setattr(bigquery_read, "FIRST_PAUSE", 0.01)


@pytest.fixture(scope="module")
def big(emulator: server.Emulator) -> str:
    """A table of KEPT rows to extract and LEFT_OUT more, in several streams of several messages."""
    numbers = np.arange(KEPT + LEFT_OUT)
    reasons = pa.array([None] * KEPT + ["no_metadata"] * LEFT_OUT, pa.string())
    return emulator.load(
        "big", pa.table({"n": numbers, "text": [f"товар {n:014d}" for n in numbers], "dropped": reasons})
    )


def opened(purchases: str, **settings: Any) -> BigQuerySource:
    return BigQuerySource(purchases, purchases, temp_dataset=server.DATASET, **settings)


def records(folder: Path) -> dict[str, Counter[bytes]]:
    """The serialized Examples of every split, with how often each is there."""
    out = {}
    for split in schema.SPLITS:
        shards = examples.shards(str(folder / split))
        batches = tf.data.TFRecordDataset(shards, compression_type="GZIP").batch(4096).as_numpy_iterator()
        out[split] = Counter(itertools.chain.from_iterable(batch.tolist() for batch in batches))
    return out


def run(tables: tuple[str, str], output: Path, **arguments: Any) -> dict[str, Counter[bytes]]:
    settings = {"feature_config": CONFIG, "temp_dataset": server.DATASET, **arguments}
    extract(purchases=tables[0], products=tables[1], output_path=str(output), **settings)
    return records(output)


def load(emulator: server.Emulator, log: tuple[str, str]) -> tuple[str, str]:
    return emulator.load("purchases", log[0]), emulator.load("products", log[1])


def temporary(emulator: server.Emulator) -> list[str]:
    return [name for name in emulator.tables() if name.startswith("metro_recs")]


def replace(path: str, column: str, values: Any) -> None:
    table = pq.read_table(path)
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, pa.chunked_array([values])), path)


@pytest.mark.parametrize("split", ["temporal", "random"])
def test_same_examples_as_from_parquet(
    emulator: server.Emulator, small_log: tuple[str, str], tmp_path: Path, split: str
) -> None:
    changed: dict[Any, int] = {306_344_001_001: 0, 306_345_001_004: 2**63 - 1}
    for path in small_log:
        ids: list[Any] = pq.read_table(path)["product_id"].to_pylist()
        replace(path, "product_id", pa.array([changed.get(id_, id_) for id_ in ids], pa.int64()))
    expected = run(small_log, tmp_path / "parquet", split=split)
    assert all(expected.values())
    tables = load(emulator, small_log)
    assert run(tables, tmp_path / "bigquery", split=split) == expected
    assert not temporary(emulator)
    lookups = [schema.read_metadata(str(tmp_path / name / schema.METADATA)) for name in ("parquet", "bigquery")]
    assert lookups[0]["products"] == lookups[1]["products"]
    assert {"0", str(2**63 - 1)} < set(lookups[0]["products"])
    assert lookups[0]["splits"].keys() == lookups[1]["splits"].keys()


def test_extra_columns_of_every_type(emulator: server.Emulator, small_log: tuple[str, str], tmp_path: Path) -> None:
    purchases, products = pq.read_table(small_log[0]), pq.read_table(small_log[1])
    purchases = purchases.append_column("channel", [[f"канал {i % 3}" for i in range(len(purchases))]])
    purchases = purchases.append_column("opened", [list(range(len(purchases)))])
    tags = pa.array([[f"tag '{i}'", "🥦"][: i % 3] for i in range(len(purchases))], pa.list_(pa.string()))
    purchases = purchases.append_column("tags", pa.chunked_array([tags]))
    products = products.append_column("price", [[i / 3 for i in range(len(products))]])
    products = products.append_column("weight", [[i / 7 for i in range(len(products))]])
    labels = pa.array([["био", "two\nlines", ""][: i % 4] for i in range(len(products))], pa.list_(pa.string()))
    products = products.append_column("labels", pa.chunked_array([labels]))
    pq.write_table(purchases, small_log[0])
    pq.write_table(products, small_log[1])
    expected = run(small_log, tmp_path / "parquet", feature_config=EXTRAS)
    assert run(load(emulator, small_log), tmp_path / "bigquery", feature_config=EXTRAS) == expected
    seen = [tf.train.Example.FromString(record).features.feature for part in expected.values() for record in part]
    assert {len(features["tags"].bytes_list.value) for features in seen} == {0, 1, 2}
    lookups = [schema.read_metadata(str(tmp_path / name / schema.METADATA)) for name in ("parquet", "bigquery")]
    assert lookups[0]["products"] == lookups[1]["products"]


def test_the_demo_data(emulator: server.Emulator, tmp_path: Path) -> None:
    log = data.prepare(str(tmp_path / "demo"), households=100)
    settings = {"catalogue_size": 500, "min_purchases": 2}
    expected = run(log, tmp_path / "parquet", **settings)
    assert sum(expected["train"].values()) > 5_000
    assert run(load(emulator, log), tmp_path / "bigquery", **settings) == expected


def test_a_stream_that_breaks_under_the_extraction(
    emulator: server.Emulator, small_log: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(small_log, tmp_path / "parquet")
    tables = load(emulator, small_log)
    # Everything is one message, and arrives only in part three times.
    with proxy.breaking(emulator.grpc, after=50_000, times=3) as between:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", between.address)
        assert run(tables, tmp_path / "bigquery") == expected
        assert between.cuts == 3


def test_streams_give_every_row_that_is_not_dropped(emulator: server.Emulator, big: str) -> None:
    with opened(big) as source:
        source.materialise(
            "examples", "SELECT text, dropped, n, n / 2 AS half FROM {purchases} WHERE n >= @least", {"least": 10}
        )
        assert source.rows("SELECT COUNT(*) AS c FROM {examples}", {}) == [{"c": KEPT + LEFT_OUT - 10}]
        streams = source.streams(["n", "text"])
        assert len(streams) > 1
        table = pa.Table.from_batches(batch for stream in streams for batch in stream.read())
    assert sorted(table.column_names) == ["n", "text"]
    assert sorted(table["n"].to_numpy()) == list(range(10, KEPT))
    assert table["text"].to_pylist() == [f"товар {n:014d}" for n in table["n"].to_pylist()]


@pytest.mark.parametrize("messages", [0.3, 1.5])
def test_a_stream_that_breaks_gives_the_same_rows(
    emulator: server.Emulator, big: str, monkeypatch: pytest.MonkeyPatch, messages: float
) -> None:
    with proxy.breaking(emulator.grpc, after=int(messages * MESSAGE), times=6) as between, opened(big) as source:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", between.address)
        source.endpoint = bigquery_read.Endpoint(server.PROJECT)
        source.materialise("examples", "SELECT n, text, dropped FROM {purchases}", {})
        streams = source.streams(["n", "text"])
        rows = [n for stream in streams for batch in stream.read() for n in batch["n"].to_numpy()]
        assert between.cuts == 6
    assert sorted(rows) == list(range(KEPT))


def test_a_stream_that_stays_broken(emulator: server.Emulator, big: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy.breaking(emulator.grpc, after=MESSAGE // 3, times=10**9) as between:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", between.address)
        with opened(big) as source:
            source.materialise("examples", "SELECT n, text, dropped FROM {purchases}", {})
            stream = source.streams(["n", "text"])[0]
            started = time.monotonic()
            with pytest.raises(InputError, match=r"streams/0: found broken after 0 rows, attempt 7 of 7: 503"):
                list(stream.read())
            assert between.cuts == 7
    assert time.monotonic() - started < 30


def test_tables_and_datasets_that_do_not_exist(big: str) -> None:
    with opened(f"{server.PROJECT}.shop.absent") as source:
        for use in (
            lambda: source.columns("purchases"),
            lambda: source.rows("SELECT * FROM {purchases}", {}),
            lambda: source.materialise("examples", "SELECT * FROM {purchases}", {}),
        ):
            with pytest.raises(InputError, match=r"^purchases my-project\.shop\.absent.*expected tables that exist"):
                use()
    # BigQuery says 404 to this, the emulator 400.
    nowhere = BigQuerySource(big, big, temp_dataset="nowhere")
    with nowhere, pytest.raises(InputError, match=r"dataset my-project\.nowhere: found .*nowhere does not exist"):
        nowhere.materialise("examples", "SELECT * FROM {purchases}", {})
    with opened(big) as source, pytest.raises(InputError, match=r"expected a query that BigQuery accepts"):
        source.materialise("examples", "SELECT absent FROM {purchases}", {})


def test_columns(emulator: server.Emulator) -> None:
    lists = {"tags": pa.array([["a"]], pa.list_(pa.string())), "numbers": pa.array([[1]], pa.list_(pa.int64()))}
    times = {"at": pa.array([0], pa.timestamp("us", "UTC")), "local": pa.array([0], pa.timestamp("us"))}
    table = pa.table({"name": ["x"], "id": [2**63 - 1], "price": [0.5], "on": [True], **times, **lists})
    with opened(emulator.load("typed", table)) as source:
        assert source.columns("purchases") == {
            **{"name": "string", "id": "int64", "price": "float", "at": "timestamp", "local": "timestamp"},
            **{"on": "BOOL", "tags": "list<string>", "numbers": "ARRAY<INT64>"},
        }


def test_bad_tables(emulator: server.Emulator, small_log: tuple[str, str], tmp_path: Path) -> None:
    tables = load(emulator, small_log)
    purchases = pq.read_table(small_log[0])
    ids = purchases["product_id"].cast(pa.string())
    for name, table, message in (
        ("without_city", purchases.drop_columns("city"), "column city: found only .*, expected a column city"),
        ("ids_as_text", purchases.set_column(1, "product_id", ids), "column product_id: found type string"),
        ("empty", purchases.slice(0, 0), "found no rows"),
    ):
        bad = emulator.load(name, table)
        with pytest.raises(InputError, match=f"^purchases {bad}.*{message}"):
            run((bad, tables[1]), tmp_path / name)
        assert not (tmp_path / name).exists()
        assert not temporary(emulator)


def test_times_and_products_that_cannot_be(
    emulator: server.Emulator, small_log: tuple[str, str], tmp_path: Path
) -> None:
    """In the same words as from Parquet, but for the names and the remedy."""
    purchases, products = load(emulator, small_log)
    micros = pq.read_table(small_log[0])["timestamp"].cast(pa.int64()).to_numpy()
    replace(small_log[0], "timestamp", pa.array(micros // 1000, pa.timestamp("us", "UTC")))
    early = emulator.load("early", small_log[0])
    message = r"field timestamp: found [\d,]+ rows before 1990.*times 1,000, as when seconds are taken for milliseconds"
    with pytest.raises(InputError, match=message) as from_bigquery:
        run((early, products), tmp_path / "bigquery")
    with pytest.raises(InputError) as from_parquet:
        run(small_log, tmp_path / "parquet")
    assert from_parquet.value.found == from_bigquery.value.found
    ids = pq.read_table(small_log[1])["product_id"].to_pylist()
    replace(small_log[1], "product_id", pa.array([-1, *ids[1:]]))
    message = r"field product_id: found the id -1, expected .* Pass a view without these rows as products: SELECT \*"
    with pytest.raises(InputError, match=message):
        run((purchases, emulator.load("unknown", small_log[1])), tmp_path / "bigquery")
    assert not temporary(emulator)


@pytest.mark.parametrize("failure", [None, ZeroDivisionError])
def test_temporary_tables_go(emulator: server.Emulator, big: str, failure: type[Exception] | None) -> None:
    with pytest.raises(failure) if failure else contextlib.nullcontext(), opened(big) as source:
        source.materialise("judged", "SELECT n FROM {purchases}", {})
        source.materialise("examples", "SELECT n FROM {judged}", {})
        assert len(temporary(emulator)) == 2
        if failure:
            raise failure
    assert not temporary(emulator)
