"""What can be checked of the BigQuery source without a server: names, SQL, cleaning up, errors."""

import pickle
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from google.api_core import exceptions

from components.common.errors import InputError
from components.data_extractor import bigquery
from components.data_extractor.bigquery import BigQuerySource, BigQueryStream, Endpoint

TABLES = "my-project.shop.purchases", "my-project.shop.products"


class Client:
    """Notes what it is asked."""

    def __init__(self, error: Exception | None = None):
        self.error = error
        self.queries: list[tuple[str, Any]] = []
        self.deleted: list[str] = []
        self.closed = False

    def query(self, sql: str, job_config: Any) -> Any:
        if self.error:
            raise self.error
        self.queries.append((sql, job_config))
        return SimpleNamespace(result=list)

    def delete_table(self, name: str, not_found_ok: bool) -> None:
        assert not_found_ok
        self.deleted.append(name)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setattr(Endpoint, "client", lambda self: client)
    return client


@pytest.mark.parametrize(
    ("project", "dataset", "expected"),
    [
        ("", "temp", "my-project.temp.metro_recs_"),
        ("payer-1", "temp", "payer-1.temp.metro_recs_"),
        ("", "other-project.temp", "other-project.temp.metro_recs_"),
    ],
)
def test_names(project: str, dataset: str, expected: str) -> None:
    assert BigQuerySource(*TABLES, project, dataset).names["examples"].startswith(expected)


@pytest.mark.parametrize("dataset", ["", "a.b.c", "temp`; DROP", "Temp Dataset"])
def test_bad_datasets(dataset: str) -> None:
    with pytest.raises(InputError, match="temp_dataset: found"):
        BigQuerySource(*TABLES, "", dataset)


def test_query_is_stored_in_a_table_that_expires() -> None:
    sql = bigquery.create_table("my-project.temp.result", "SELECT 1 AS x")
    tree = sqlglot.parse_one(sql, read="bigquery")
    assert tree.this.sql("bigquery") == "`my-project.temp.result`"
    assert "INTERVAL 1 DAY" in sql
    assert sql.endswith("SELECT 1 AS x")


def test_parameters_are_typed(client: Client) -> None:
    with BigQuerySource(*TABLES, "", "temp") as source:
        source.rows("SELECT @a, @b, @c FROM {purchases}", {"a": "x", "b": 2, "c": 0.5})
    ((sql, config),) = client.queries
    assert sql == "SELECT @a, @b, @c FROM `my-project.shop.purchases`"
    assert [(p.name, p.type_, p.value) for p in config.query_parameters] == [
        ("a", "STRING", "x"),
        ("b", "INT64", 2),
        ("c", "FLOAT64", 0.5),
    ]


def test_the_temporary_table_goes_even_after_a_failure(client: Client) -> None:
    source = BigQuerySource(*TABLES, "", "temp")
    with pytest.raises(ZeroDivisionError), source:
        raise ZeroDivisionError
    assert client.deleted == [source.names["examples"]]
    assert client.closed


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (exceptions.NotFound("Not found: Table my-project:shop.purchases"), "Not found: Table .* tables that exist"),
        (exceptions.Forbidden("no bigquery.jobs.create"), "no bigquery.jobs.create, expected permission to read"),
        (exceptions.BadRequest("Unrecognized name: revenue"), "Unrecognized name: revenue"),
    ],
)
def test_refusals_are_explained(client: Client, error: Exception, message: str) -> None:
    client.error = error
    with pytest.raises(InputError, match=message), BigQuerySource(*TABLES, "", "temp") as source:
        source.rows("SELECT 1", {})


def test_column_types(client: Client) -> None:
    fields = [("a", "STRING", "NULLABLE"), ("b", "INTEGER", "REQUIRED"), ("c", "NUMERIC", "NULLABLE")]
    fields += [("d", "TIMESTAMP", "NULLABLE"), ("e", "STRING", "REPEATED"), ("f", "GEOGRAPHY", "NULLABLE")]
    table = SimpleNamespace(schema=[SimpleNamespace(name=n, field_type=t, mode=m) for n, t, m in fields])
    client.get_table = lambda name: table  # type: ignore[attr-defined]
    with BigQuerySource(*TABLES, "", "temp") as source:
        kinds = {"a": "string", "b": "int64", "c": "float", "d": "timestamp", "e": "a list", "f": "GEOGRAPHY"}
        assert source.columns("purchases") == kinds


def test_streams_carry_the_endpoint_to_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", "localhost:9060")
    batch = pa.record_batch({"n": [1, 2]})
    stream = BigQueryStream(Endpoint("my-project"), "session/streams/1", batch.schema.serialize().to_pybytes())
    monkeypatch.delenv("BIGQUERY_STORAGE_EMULATOR_HOST")
    travelled = pickle.loads(pickle.dumps(stream))  # noqa: S301
    assert travelled.endpoint.grpc == "localhost:9060"

    response = SimpleNamespace(
        arrow_record_batch=SimpleNamespace(serialized_record_batch=batch.serialize().to_pybytes())
    )
    reader = SimpleNamespace(read_rows=lambda name: [response, response])
    monkeypatch.setattr(Endpoint, "reader", lambda self: reader)
    assert list(travelled.read()) == [batch, batch]
