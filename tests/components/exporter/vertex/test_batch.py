"""Every customer's best products, as Parquet and as a BigQuery table."""

import contextlib
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.errors import InputError
from components.exporter.vertex import batch as batches
from components.exporter.vertex import customers
from components.exporter.vertex.batch import batch
from components.exporter.vertex.recommend import padded
from tests.components import fake_model
from tests.components.exporter.vertex import recommender, releases
from tests.components.exporter.vertex.cloud import Cloud
from tests.servers import bigquery as server

COLUMNS = ["cust_person_id", "rank", "product_id", "art_name", "score", "model_version"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return recommender.write(tmp_path_factory.mktemp("batch"))


def by_customer(table: pa.Table) -> dict[str, list[int]]:
    found = defaultdict(list)
    for row in table.to_pylist():
        found[row["cust_person_id"]].append(row["product_id"])
        assert row["rank"] == len(found[row["cust_person_id"]])
    return dict(found)


def test_every_customer_of_every_split_has_their_best_products(inputs: dict[str, Any], tmp_path: Path) -> None:
    facts = batch(**inputs, output=str(tmp_path / "out"), k=3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_batch.json", "recommendations.parquet"]
    table = pq.read_table(tmp_path / "out")  # readers of Parquet pass over _batch.json
    assert table.column_names == COLUMNS
    assert by_customer(table) == {"ann": [11, 12, 13], "bob": [11, 12, 13], "cyd": [14, 13, 12], "dan": [12, 13, 11]}
    first = table.slice(0, 1).to_pylist()[0]
    assert first["art_name"] == fake_model.PRODUCTS["11"]["art_name"]
    assert first["model_version"] == "v1"
    assert first["score"] == pytest.approx(4.003)  # the revenue of ann's latest purchase is 3
    dan = next(row for row in table.to_pylist() if row["cust_person_id"] == "dan")
    assert dan["score"] == pytest.approx(102.003)  # a customer of the test split alone, in Bonn
    assert facts == {"model_version": "v1", "customers": 4, "rows": 12, "k": 3, "exclude_bought": False}


def test_what_was_bought_is_left_out(inputs: dict[str, Any], tmp_path: Path) -> None:
    batch(**inputs, output=str(tmp_path / "out"), exclude_bought=True)
    bought = defaultdict(set)
    for customer, product in (*fake_model.TRAIN, *fake_model.VALIDATION, *fake_model.TEST):
        bought[customer].add(product)
    found = by_customer(pq.read_table(tmp_path / "out"))
    assert {customer: set(products) for customer, products in found.items()} == {
        customer: set(fake_model.CATALOGUE) - products for customer, products in bought.items()
    }
    assert found["cyd"] == [13, 12, 11]


def test_blocks_of_any_size_give_the_same(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch(**inputs, output=str(tmp_path / "one"), exclude_bought=True)
    monkeypatch.setattr(batches, "MOST_CUSTOMERS", 1)
    monkeypatch.setattr(customers, "COMPACTED", 1)
    batch(**inputs, output=str(tmp_path / "other"), exclude_bought=True)
    assert pq.read_table(tmp_path / "one") == pq.read_table(tmp_path / "other")


def test_the_latest_purchase_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Against the obvious way, one purchase after the other, in batches of random customers and times."""
    rng = np.random.default_rng(3)
    table = customers._Latest({"cust_person_id": "string", "revenue": "float"})
    known: dict[bytes, tuple[int, float]] = {}
    pairs: set[tuple[bytes, int]] = set()
    purchases = customers._Purchases()
    for size in (7, 3000, 1, 500):
        names = np.array([f"customer {number}".encode() for number in rng.integers(0, 2500, size)], object)
        rows = {
            "cust_person_id": names,
            "timestamp": rng.integers(0, 50, size),
            "revenue": rng.random(size, dtype="f4"),
            "product_id": rng.integers(0, 9, size),
        }
        purchases.add(table.add(rows), rows["product_id"])
        for name, time, revenue, product in zip(
            *(rows[c] for c in ("cust_person_id", "timestamp", "revenue", "product_id")), strict=True
        ):
            pairs.add((name, int(product)))
            if time >= known.get(name, (-1, 0.0))[0]:
                known[name] = (int(time), float(revenue))
    found = dict(
        zip(table.columns["cust_person_id"][: table.size], table.columns["revenue"][: table.size], strict=True)
    )
    assert found == {name: np.float32(revenue) for name, (_, revenue) in known.items()}
    order = np.argsort(table.columns["cust_person_id"][: table.size], kind="stable")
    bought, starts = purchases.by_customer(order)
    lists = {
        table.columns["cust_person_id"][place]: bought[starts[rank] : starts[rank + 1]].tolist()
        for rank, place in enumerate(order)
    }
    assert {(name, product) for name, products in lists.items() for product in products} == pairs
    assert len(bought) == len(pairs)


def test_rows_of_different_lengths_are_filled_up() -> None:
    rows = padded(np.array([9, 1, 2, 3, 4]), np.array([1, 3, 3, 4]))
    assert rows.tolist() == [[1, 2], [-1, -1], [3, -1]]
    assert padded(np.zeros(0, np.int64), np.zeros(3, np.int64)).tolist() == [[-1], [-1]]


def test_to_and_from_a_bucket(cloud: Cloud, inputs: dict[str, Any]) -> None:
    for name, path in inputs.items():
        shutil.copytree(path, cloud.bucket / name)
    flags = ("--release", "gs://bucket/release", "--examples", "gs://bucket/examples", "--output", "gs://bucket/top")
    result = cloud("batch", *flags, "--k", "2")
    assert result.code == 0, result.err
    assert "gs://bucket/top: 8 rows of 4 customers, model v1" in result.err
    assert pq.read_table(cloud.bucket / "top/recommendations.parquet").num_rows == 8
    again = cloud("batch", *flags)
    assert again.code == 2
    assert "the output of another run" in again.err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output": "table"}, "--output: found 'table', expected a BigQuery table project.dataset.table"),
        ({"output": "my-project.shop.top; DROP TABLE x"}, "--output"),
        ({"k": 0}, "--k: found 0"),
        ({"project": "My Project"}, "--project"),
        ({"examples": "nowhere/at/all"}, "nowhere/at/all: found no files"),
    ],
)
def test_bad_input_writes_nothing(inputs: dict[str, Any], tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    settings: dict[str, Any] = {**inputs, "output": str(tmp_path / "out" / "top"), **changes}
    with pytest.raises(InputError) as error:
        batch(**settings)
    assert said in str(error.value)
    assert not list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else True


def test_a_model_without_the_signature(tmp_path: Path, world: dict[str, str]) -> None:
    release = releases.write(tmp_path / "release")
    shutil.rmtree(tmp_path / "release/saved_model")
    shutil.copytree(Path(world["model"]) / "saved_model", tmp_path / "release/saved_model")
    with pytest.raises(InputError, match=r"saved_model, signatures: found no recommend_excluding"):
        batch(release=release, examples=world["examples"], output=str(tmp_path / "out"), exclude_bought=True)
    assert not (tmp_path / "out").exists()


def test_a_release_that_the_gate_refused(tmp_path: Path, inputs: dict[str, Any]) -> None:
    release = releases.write(tmp_path / "release", verdict=releases.NO)
    with pytest.raises(InputError, match=r"a no: Recall@100 .31 is below"):
        batch(release=release, examples=inputs["examples"], output=str(tmp_path / "out"))


@pytest.fixture(scope="module")
def emulator() -> Iterator[server.Emulator]:
    with server.running() as emulator:
        yield emulator


@pytest.mark.slow
def test_a_bigquery_table_is_replaced(
    inputs: dict[str, Any], emulator: server.Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.cloud import bigquery

    for name, address in emulator.environment().items():
        monkeypatch.setenv(name, address)
    table = f"{server.PROJECT}.{server.DATASET}.top"
    kinds = ("STRING", "INT64", "INT64", "STRING", "FLOAT64", "STRING")
    with contextlib.closing(emulator.client()) as client:
        # The emulator does not create a table from Parquet by itself.
        fields = [bigquery.SchemaField(name, kind) for name, kind in zip(COLUMNS, kinds, strict=True)]
        client.create_table(bigquery.Table(table, fields))
        for k in (4, 2):
            batch(**inputs, output=table, k=k)
            rows = [dict(row.items()) for row in client.query(f"SELECT * FROM `{table}`").result()]  # noqa: S608
            assert len(rows) == 4 * k
        first = min(rows, key=lambda row: (row["cust_person_id"], row["rank"]))
        assert (first["cust_person_id"], first["product_id"], first["model_version"]) == ("ann", 11, "v1")
        assert first["score"] == pytest.approx(4.003)


@pytest.mark.slow
def test_a_dataset_that_is_not_there(
    inputs: dict[str, Any], emulator: server.Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, address in emulator.environment().items():
        monkeypatch.setenv(name, address)
    with pytest.raises(InputError, match=r"table my-project\.nowhere\.top: found"):
        batch(**inputs, output="my-project.nowhere.top")
