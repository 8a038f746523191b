"""Whatever is wrong with the input is named, and nothing is left behind."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.common import tfrecord
from components.common.errors import InputError
from components.data_extractor.extract import extract

CONFIG = "query: {features: [{kind: id, name: cust_person_id}]}\ncandidate: {features: [{kind: id, name: product_id}]}"
DATAFLOW = (
    "--runner=DataflowRunner --project=my-project --region=europe-west3 --temp_location=gs://bucket/tmp"
    " --sdk_container_image=registry/metro-recs/data:v1"
)
Change = Callable[[pa.Table], pa.Table]


def replaced(column: str, values: Callable[[list], list], kind: pa.DataType | None = None) -> Change:
    """A change of a table: one column's values through a function."""

    def change(table: pa.Table) -> pa.Table:
        new = pa.array(values(table[column].to_pylist()), kind or table.schema.field(column).type)
        return table.set_column(table.column_names.index(column), column, new)

    return change


def first(value: Any) -> Callable[[list], list]:
    return lambda values: [value, *values[1:]]


def refused(log: tuple[str, str], output: Path, **arguments: Any) -> str:
    """The message of the InputError; makes sure that nothing was left at the output or beside it."""
    before = set(os.listdir(output.parent))
    settings: dict[str, Any] = {"feature_config": CONFIG, "purchases": log[0], "products": log[1], **arguments}
    with pytest.raises(InputError) as raised:
        extract(output_path=str(output), **settings)
    assert set(os.listdir(output.parent)) == before
    return str(raised.value)


BAD_TABLES: list[tuple[str, Change, str]] = [
    ("purchases", lambda t: t.slice(0, 0), "no rows"),
    ("purchases", lambda t: t.drop_columns("city"), "column city: found only cust_person_id, product_id, revenue"),
    (
        "purchases",
        replaced("cust_person_id", lambda v: [1] * len(v), pa.int64()),
        "column cust_person_id: found type int64",
    ),
    ("purchases", replaced("revenue", lambda v: ["1"] * len(v), pa.string()), "column revenue: found type string"),
    ("purchases", replaced("timestamp", lambda v: [0] * len(v), pa.int64()), "column timestamp: found type int64"),
    ("purchases", replaced("timestamp", lambda v: [0] * len(v), pa.date32()), "column timestamp: found type DATE"),
    ("products", replaced("product_id", lambda v: [0.5] * len(v), pa.float64()), "column product_id: found type float"),
    ("products", lambda t: t.slice(0, 0), "no rows"),
    (
        "products",
        lambda t: pa.concat_tables([t, t.slice(3, 1)]),
        "field product_id: found 1 row that repeat an id, such as 306347001010",
    ),
    ("products", replaced("product_id", first(None)), "field product_id: found 1 row without a value"),
]


@pytest.mark.parametrize(("table", "change", "message"), BAD_TABLES, ids=[message for *_, message in BAD_TABLES])
def test_bad_tables(small_log: tuple[str, str], tmp_path: Path, table: str, change: Change, message: str) -> None:
    path = small_log[["purchases", "products"].index(table)]
    pq.write_table(change(pq.read_table(path)), path)
    text = refused(small_log, tmp_path / "out")
    assert f"{table} {path}" in text
    assert message in text
    assert "view" in text or "Pass" in text


# One bad row more than what `thresholds` allows stops the extraction; test_data_report.py has what it lets pass.
BAD_ROWS: list[tuple[str, Any, str]] = [
    ("cust_person_id", None, "1 of 1,406 rows dropped as null_id (null_id), such as cust_person_id NULL"),
    ("product_id", None, "1 of 1,406 rows dropped as null_id (null_id), such as cust_person_id"),
    ("timestamp", None, "1 of 1,406 rows dropped as null_id (null_id), such as cust_person_id"),
    ("product_id", 99, "1 of 1,406 rows dropped as no_metadata (no_metadata), such as cust_person_id"),
    ("revenue", None, "1 of 1,406 rows dropped as non_positive_revenue (non_positive_revenue), such as"),
    ("revenue", float("nan"), "1 of 1,406 rows dropped as non_positive_revenue"),
    ("revenue", float("inf"), "1 of 1,406 rows dropped as non_positive_revenue"),
    ("revenue", 0.0, "1 of 1,406 rows dropped as non_positive_revenue"),
    ("revenue", -0.5, "1 of 1,406 rows dropped as non_positive_revenue"),
    ("city", None, "1 of 1,406 rows without city (nulls)"),
]
NOTHING = "{null_id: 0, no_metadata: 0, non_positive_revenue: 0, duplicate: 0, nulls: 0}"


@pytest.mark.parametrize(("column", "value", "message"), BAD_ROWS)
def test_bad_rows_beyond_the_threshold(
    small_log: tuple[str, str], tmp_path: Path, column: str, value: Any, message: str
) -> None:
    pq.write_table(replaced(column, first(value))(pq.read_table(small_log[0])), small_log[0])
    text = refused(small_log, tmp_path / "out", thresholds=NOTHING)
    assert text.startswith(f"purchases {small_log[0]}: found {message}")
    assert "of at most 0. Correct the data, or raise these thresholds." in text


def test_the_example_leads_to_the_row(small_log: tuple[str, str], tmp_path: Path) -> None:
    table = pq.read_table(small_log[0])
    pq.write_table(replaced("revenue", lambda v: [*v[:41], -3.25, *v[42:]])(table), small_log[0])
    text = refused(small_log, tmp_path / "out", thresholds=NOTHING)
    assert f"cust_person_id {table['cust_person_id'][41]}, product_id {table['product_id'][41]}" in text
    assert "paid -3.25" in text


@pytest.mark.parametrize("bad", [None, float("nan"), float("-inf"), 1e39])
@pytest.mark.parametrize("table", ["purchases", "products"])
def test_numbers_of_the_feature_config(small_log: tuple[str, str], tmp_path: Path, table: str, bad: Any) -> None:
    path = small_log[["purchases", "products"].index(table)]
    read = pq.read_table(path)
    pq.write_table(read.append_column("weight", pa.chunked_array([[bad, *([1.0] * (len(read) - 1))]])), path)
    query, candidate = ("id, name: cust_person_id", "numeric, name: weight")[:: 1 if table == "products" else -1]
    candidate = candidate.replace("cust_person_id", "product_id")
    config = f"query: {{features: [{{kind: {query}}}]}}\ncandidate: {{features: [{{kind: {candidate}}}]}}"
    text = refused(small_log, tmp_path / "out", feature_config=config)
    assert f"{table} {path}, field weight: found " in text
    first_row = "cust_person_id" if table == "purchases" else "product_id 306344001001, weight"
    assert f"without a finite number, such as {first_row}" in text


@pytest.mark.parametrize(("table", "column"), [("purchases", "city"), ("products", "art_name")])
def test_text_that_is_not_utf_8(small_log: tuple[str, str], tmp_path: Path, table: str, column: str) -> None:
    path = small_log[["purchases", "products"].index(table)]
    read = pq.read_table(path)
    texts = [str(text).encode() for text in read[column].to_pylist()]
    broken = pa.array([b"Z\xfcrich", *texts[1:]], pa.binary()).view(pa.string())  # Latin-1, called a string
    pq.write_table(read.set_column(read.column_names.index(column), column, broken), path)
    text = refused(small_log, tmp_path / "out")
    assert path in text
    assert "not valid UTF8" in text


def test_a_name_that_looks_like_a_pattern(small_log: tuple[str, str], tmp_path: Path) -> None:
    purchases = pq.read_table(small_log[0])
    half = len(purchases) // 2
    for name, part in (("part-1.parquet", purchases[:half]), ("part-*.parquet", purchases[half:])):
        pq.write_table(part, tmp_path / name)
    log = str(tmp_path / "part-*.parquet"), small_log[1]
    metadata = extract(purchases=log[0], products=log[1], output_path=str(tmp_path / "out"), feature_config=CONFIG)
    assert sum(part["rows"] for part in metadata["splits"].values()) == len(purchases)


def test_missing_file(small_log: tuple[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere.parquet")
    assert f"purchases {path}: found no such file" in refused((path, small_log[1]), tmp_path / "out")


def test_folder_instead_of_files(small_log: tuple[str, str], tmp_path: Path) -> None:
    text = refused((str(tmp_path), small_log[1]), tmp_path / "out")
    assert f"Pass {tmp_path}/*.parquet" in text


@pytest.mark.parametrize("cut", [0, 100, -100])
def test_damaged_parquet(small_log: tuple[str, str], tmp_path: Path, cut: int) -> None:
    data = Path(small_log[0]).read_bytes()
    Path(small_log[0]).write_bytes(data[:cut])
    assert small_log[0] in refused(small_log, tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    [
        "my-project.shop.purchases; DROP TABLE x",
        "my-project.shop.`purchases`",
        "shop.purchases",
        "my-project.shop.purchases WHERE 1=1",
        "SELECT 1",
        "",
    ],
)
def test_names_that_are_neither_table_nor_path(small_log: tuple[str, str], tmp_path: Path, name: str) -> None:
    text = refused((name, small_log[1]), tmp_path / "out")
    assert f"purchases: found {name!r}" in text
    assert "project.dataset.table" in text


def test_two_sorts_of_source(small_log: tuple[str, str], tmp_path: Path) -> None:
    text = refused((small_log[0], "my-project.shop.products"), tmp_path / "out")
    assert "both of the same sort" in text


def test_bigquery_without_a_temporary_dataset(tmp_path: Path) -> None:
    text = refused(("my-project.shop.purchases", "my-project.shop.products"), tmp_path / "out")
    assert "temp_dataset: found ''" in text


def test_dataflow_and_a_local_output(tmp_path: Path) -> None:
    tables = "my-project.shop.purchases", "my-project.shop.products"
    text = refused(tables, tmp_path / "out", temp_dataset="shop", beam_options=DATAFLOW)
    assert f"output_path: found {tmp_path}/out, expected gs://" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_share": 0.0}, "train_share: found 0.0, expected a number between 0 and 1"),
        ({"validation_share": 1.5}, "validation_share: found 1.5"),
        ({"train_share": 0.8, "validation_share": 0.2}, "train_share + validation_share: found 0.8 + 0.2"),
        ({"catalogue_size": -1}, "catalogue_size: found -1, expected 0 or more"),
        ({"min_purchases": 0}, "min_purchases: found 0, expected 1 or more"),
        ({"min_purchases": 10**6}, "catalogue: found no product, expected products with at least 1000000 purchases"),
        ({"split": "by customer"}, "split: found 'by customer', expected one of temporal, random"),
        ({"beam_options": "--runer=DataflowRunner"}, "beam_options: found runer, expected an option that Beam knows"),
        ({"beam_options": "DataflowRunner"}, "beam_options: found DataflowRunner"),
        ({"beam_options": DATAFLOW}, "found Parquet files, expected BigQuery tables"),
        ({"revenue_as_of": "now"}, "revenue_as_of: found 'now', expected one of purchase, training"),
        ({"thresholds": "{duplicates: 1}"}, "thresholds, duplicates: found 1"),
        ({"thresholds": "{duplicate: 2}"}, "thresholds, duplicate: found 2"),
        ({"thresholds": "nowhere.yaml"}, "nowhere.yaml: found no such file"),
        ({"previous_metadata": "nowhere.json"}, "nowhere.json: found no such file"),
        ({"max_bytes_billed": -1}, "max_bytes_billed: found -1, expected 0 or more"),
        ({"feature_config": "nowhere.yaml"}, "nowhere.yaml: found no such file"),
    ],
)
def test_bad_arguments(small_log: tuple[str, str], tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    assert message in refused(small_log, tmp_path / "out", **arguments)


def test_empty_split(small_log: tuple[str, str], tmp_path: Path) -> None:
    table = pq.read_table(small_log[0])
    pq.write_table(table.filter(pc.equal(table["timestamp"], table["timestamp"][0])), small_log[0])
    text = refused(small_log, tmp_path / "out")
    assert "split train: found no rows (train 0, validation 0, test" in text


def test_columns_of_the_feature_config(small_log: tuple[str, str], tmp_path: Path) -> None:
    def config(query: str, candidate: str = "{kind: id, name: product_id}") -> str:
        return f"query: {{features: [{query}]}}\ncandidate: {{features: [{candidate}]}}"

    missing = config("{kind: text, name: channel}")
    assert "column channel: found only" in refused(small_log, tmp_path / "out", feature_config=missing)
    other_type = config("{kind: numeric, name: city}")
    text = refused(small_log, tmp_path / "out", feature_config=other_type)
    assert "query.features[0]: found 'numeric, which reads city as float', expected city as string" in text
    both = config("{kind: text, name: brand}", "{kind: text, name: brand}")
    assert "column brand: found a name in use" in refused(small_log, tmp_path / "out", feature_config=both)
    reserved = config("{kind: text, name: split}")
    assert "column split: found a name in use" in refused(small_log, tmp_path / "out", feature_config=reserved)


def test_output_of_another_run(small_log: tuple[str, str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "metadata.json").write_text("{}")
    assert "found the output of another run" in refused(small_log, output)
    assert (output / "metadata.json").read_text() == "{}"


def test_nothing_is_left_when_a_worker_fails(
    small_log: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(batch: pa.RecordBatch) -> bytes:
        raise InputError("column x", "trouble", "none", "Stay calm.")

    monkeypatch.setattr(tfrecord, "records", fail)
    # The worker's own error comes back, without Beam's wrapping.
    assert refused(small_log, tmp_path / "out") == "column x: found trouble, expected none. Stay calm."
