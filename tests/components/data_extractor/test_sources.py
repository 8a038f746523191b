import pickle

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from components.common import feature_config, schema
from components.common.errors import InputError
from components.data_extractor import sources
from components.data_extractor.parameters import query_parameters
from components.data_extractor.parquet import to_duckdb
from components.data_extractor.parquet_stream import ParquetStream

EXTRAS: dict[sources.Table, dict[str, str]] = {
    "purchases": {"channel": "string", "tags": "list<string>"},
    "products": {"price": "float", "labels": "list<string>"},
}
NO_EXTRAS: dict[sources.Table, dict[str, str]] = {"purchases": {}, "products": {}}
TABLES = {"purchases": "my-project.shop.purchases", "products": "my-project.shop.products"}
NAMES = {**TABLES, "judged": "my-project.temp.judged"}


def test_kinds() -> None:
    assert sources.kind(NAMES["purchases"], NAMES["products"]) == "bigquery"
    assert sources.kind("gs://bucket/log/*.parquet", "/data/products.parquet") == "parquet"
    assert sources.kind("purchases.parquet", "products.parquet") == "parquet"
    with pytest.raises(InputError, match=r"expected a BigQuery table project\.dataset\.table"):
        sources.kind("my-project.shop.a-b`c", NAMES["products"])


def queries(extras: dict[sources.Table, dict[str, str]]) -> dict[str, exp.Select]:
    trees = {}
    for step in sources.STEPS:
        sql = sources.with_names(sources.query(step, extras), NAMES)
        assert "{" not in sql
        trees[step] = sqlglot.parse_one(sql, read="bigquery")
    return trees  # type: ignore[return-value]


@pytest.mark.parametrize("extras", [NO_EXTRAS, EXTRAS])
def test_the_queries_read_the_tables_and_give_the_columns_of_an_example(
    extras: dict[sources.Table, dict[str, str]],
) -> None:
    trees = queries(extras)
    assert trees["examples"].named_selects == [*sources.columns(extras), "split", "dropped", "copies", "paid"]
    tables = {
        step: {table.sql("bigquery").split(" ")[0] for table in tree.find_all(exp.Table) if table.catalog}
        for step, tree in trees.items()
    }
    assert tables == {
        "judged": {"`my-project.shop.purchases`", "`my-project.shop.products`"},
        "examples": {"`my-project.temp.judged`", "`my-project.shop.products`"},
    }


def test_the_purchase_log_is_read_once() -> None:
    sql = sources.query("judged", EXTRAS) + sources.query("examples", EXTRAS)
    assert sql.count("{purchases}") == 1


def test_the_queries_have_exactly_the_parameters_that_are_passed() -> None:
    used = {
        step: {parameter.this.name for parameter in tree.find_all(exp.Parameter)}
        for step, tree in queries(EXTRAS).items()
    }
    assert used == {"judged": set(), "examples": set(query_parameters("temporal", 0.8, 0.15, 0, 1))}


def test_decimals_stay_exact_in_both_dialects() -> None:
    sql = sources.query("judged", NO_EXTRAS)
    assert "SAFE_CAST(revenue AS NUMERIC(38, 9))" in sql
    assert "TRY_CAST(revenue AS DECIMAL(38, 9))" in to_duckdb(sources.with_names(sql, NAMES))


def test_fractions_of_a_second_are_cut_off_not_rounded() -> None:
    sql = "CAST(FLOOR(UNIX_MICROS(moment) / 1000000) AS INT64)"
    assert sql in sources.query("judged", NO_EXTRAS)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        times = "1970-01-01 00:00:01.9", "1969-12-31 23:59:59.9", "2026-11-24 06:57:58.999999"
        data = " UNION ALL ".join(f"SELECT CAST('{time}' AS TIMESTAMP) AS moment" for time in times)
        rows = connection.execute(to_duckdb(f"SELECT {sql} AS s FROM ({data}) ORDER BY s")).fetchall()  # noqa: S608
    assert rows == [(-1,), (1,), (1_795_503_478,)]


def test_hash_thresholds() -> None:
    parameters = query_parameters("random", 0.8, 0.15, 0, 1)
    assert parameters["test_from"] == 0.95  # and not 0.9500000000000001
    assert parameters["validation_from_hex"] == "cccccccccccc"
    assert parameters["test_from_hex"] == "f33333333333"
    assert query_parameters("random", 0.001, 0.5, 0, 1)["validation_from_hex"] == "004189374bc6"


def test_extra_columns() -> None:
    config = feature_config.load("""
query:
  features: [{kind: id, name: cust_person_id}, {kind: text, name: channel}, {kind: temporal, name: timestamp}]
  carried: {tags: list<string>, channel: string}
candidate:
  features: [{kind: text, name: brand}, {kind: cross, names: [brand, stratbuy_domain_desc]}]
""")
    extras = sources.extra_columns(config)
    assert extras == {"purchases": {"channel": "string", "tags": "list<string>"}, "products": {"brand": "string"}}
    added = {"channel": "string", "tags": "list<string>", "brand": "string"}
    assert sources.columns(extras) == {**schema.EXAMPLE, **added}


def test_streams_travel_to_workers() -> None:
    stream = ParquetStream("a.parquet", (0, 4), ("city",), "b.parquet")
    assert pickle.loads(pickle.dumps(stream)) == stream  # noqa: S301
    assert isinstance(stream, sources.Stream)
