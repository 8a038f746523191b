"""The BigQuery source against two small servers that record what real clients send, and answer as they are told.

tests/integration/test_bigquery.py runs the extraction against a whole emulator.
"""

import json
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pyarrow as pa
import pytest
import sqlglot
from google.cloud.bigquery_storage_v1 import types

from components.common.errors import InputError
from components.data_extractor import bigquery, bigquery_read, sources
from components.data_extractor.bigquery import BigQuerySource
from components.data_extractor.bigquery_read import BigQueryStream, Endpoint
from components.data_extractor.sources import Stream

TABLES = "my-project.shop.purchases", "my-project.shop.products"
ROWS = pa.table({"n": range(1000)})


class Rest(ThreadingHTTPServer):
    """Every query reads `size` bytes and gives no row; requests that contain a key of `refused` get that error."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Rest)
        self.size = 0
        self.refused: dict[str, tuple[int, str, str]] = {}
        self.requests: list[tuple[str, str, dict[str, Any]]] = []

    def jobs(self) -> list[dict[str, Any]]:
        """What was asked for, job by job."""
        return [body for method, path, body in self.requests if method == "POST" and path.endswith("/jobs")]


class _Rest(BaseHTTPRequestHandler):
    server: Rest

    def log_message(self, *_: Any) -> None: ...

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        self.server.requests.append((self.command, path, body))
        said = f"{self.command} {path} {json.dumps(body)}"
        error = next((error for key, error in self.server.refused.items() if key in said), None)
        status, reply = 200, {"jobComplete": True, "schema": {"fields": []}, "totalRows": "0", **body}
        if error:
            details = [{"reason": error[1], "message": error[2]}]
            status, reply = error[0], {"error": {"code": error[0], "message": error[2], "errors": details}}
        elif path.endswith("/jobs"):
            statistics = {"totalBytesProcessed": str(self.server.size), "query": {"statementType": "SELECT"}}
            statistics["query"]["totalBytesProcessed"] = str(self.server.size)  # type: ignore[index]
            reply |= {"status": {"state": "DONE"}, "statistics": statistics}
        elif "/queries/" in path:
            reply |= {"jobReference": {"projectId": "my-project", "jobId": path.rpartition("/")[2]}}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rest]:
    monkeypatch.setattr(bigquery_read, "PATIENCE", 0.5)
    with Rest() as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def source(**settings: Any) -> BigQuerySource:
    return BigQuerySource(*TABLES, **{"temp_dataset": "temp", **settings})


@pytest.mark.parametrize(
    ("project", "dataset", "expected"),
    [
        ("", "temp", "my-project.temp.metro_recs_"),
        ("payer-1", "temp", "payer-1.temp.metro_recs_"),
        ("", "other-project.temp", "other-project.temp.metro_recs_"),
    ],
)
def test_names(project: str, dataset: str, expected: str) -> None:
    assert source(project=project, temp_dataset=dataset).names["examples"].startswith(expected)


@pytest.mark.parametrize("dataset", ["", "a.b.c", "temp`; DROP", "Temp Dataset"])
def test_bad_datasets(dataset: str) -> None:
    with pytest.raises(InputError, match="temp_dataset: found"):
        source(temp_dataset=dataset)


@pytest.mark.parametrize("labels", [{"team": "recs"}, {"a_b-1": ""}, {"équipe": "молоко"}, {"k" * 63: "9" * 63}])
def test_labels(labels: dict[str, str]) -> None:
    assert source(labels=labels).labels == labels


@pytest.mark.parametrize(
    "labels",
    [
        *[{"": "x"}, {"1a": "x"}, {"Team": "x"}, {"a b": "x"}, {"k" * 64: "x"}, {"_a": "x"}],
        *[{"a": 1}, {"a": "X"}, {"a": "x.y"}, {"a": "x" * 64}, {"a": "x\n"}, {f"a{i}": "" for i in range(65)}],
    ],
)
def test_bad_labels(labels: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"^labels.*expected at most (63 lowercase|64)"):
        source(labels=labels)


def test_query_is_stored_in_a_table_that_expires() -> None:
    sql = bigquery.create_table("my-project.temp.result", "SELECT 1 AS x")
    tree = sqlglot.parse_one(sql, read="bigquery")
    assert tree.this.sql("bigquery") == "`my-project.temp.result`"
    assert "INTERVAL 1 DAY" in sql
    assert sql.endswith("SELECT 1 AS x")


def test_what_every_job_carries(rest: Rest) -> None:
    with source(location="europe-west3", max_bytes_billed=10**12, labels={"team": "recs"}) as opened:
        opened.rows("SELECT @a, @b, @c FROM {purchases}", {"a": "x", "b": 2, "c": 0.5})
        opened.materialise("examples", "SELECT @a FROM {products}", {"a": "y`; DROP TABLE x"})
    asked, dry, real = rest.jobs()
    for job in asked, dry, real:
        assert job["jobReference"]["location"] == "europe-west3"
        assert job["configuration"]["labels"] == {"team": "recs"}
    assert asked["configuration"]["query"]["query"] == "SELECT @a, @b, @c FROM `my-project.shop.purchases`"
    assert [
        (p["name"], p["parameterType"]["type"], p["parameterValue"]["value"])
        for p in asked["configuration"]["query"]["queryParameters"]
    ] == [("a", "STRING", "x"), ("b", "INT64", "2"), ("c", "FLOAT64", 0.5)]
    assert "y`" not in real["configuration"]["query"]["query"]
    assert dry["configuration"]["query"]["query"] == real["configuration"]["query"]["query"]
    assert dry["configuration"]["dryRun"] is True
    assert dry["configuration"]["query"]["useQueryCache"] is False
    assert not real["configuration"].get("dryRun")
    assert [job["configuration"]["query"]["maximumBytesBilled"] for job in (asked, real)] == [str(10**12)] * 2
    ((_, deleted, _),) = [request for request in rest.requests if request[0] == "DELETE"]
    table = f"`my-project.temp.{deleted.rpartition('/')[2]}`"
    assert f"CREATE OR REPLACE TABLE {table}" in real["configuration"]["query"]["query"]


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB"), (3 * 2**40, "3.0 TiB"), (2**60, "1,024.0 PiB")],
)
def test_says_what_the_query_reads(rest: Rest, capsys: pytest.CaptureFixture[str], size: int, said: str) -> None:
    rest.size = size
    with source(max_bytes_billed=size) as opened:
        opened.materialise("examples", "SELECT 1", {})
    assert capsys.readouterr().err == f"BigQuery: query examples reads {said}\n"
    assert len(rest.jobs()) == 2


def test_a_query_over_the_limit_is_not_run(rest: Rest) -> None:
    rest.size = 2_000_000_000
    expected = r"1\.9 GiB \(2,000,000,000 bytes\), expected at most 1\.9 GiB \(1,999,999,999 bytes\)\. Raise max_bytes"
    with pytest.raises(InputError, match=expected), source(max_bytes_billed=1_999_999_999) as opened:
        opened.materialise("examples", "SELECT 1", {})
    assert [job["configuration"]["dryRun"] for job in rest.jobs()] == [True]


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (404, "notFound", r"expected tables that exist\. Check project"),
        (403, "accessDenied", r"expected permission\. Grant BigQuery Job User"),
        (400, "invalidQuery", r"expected a query that BigQuery accepts\. Check the columns"),
        (500, "bytesBilledLimitExceeded", r"expected a query within max_bytes_billed\. Raise"),
        (503, "backendError", r"expected an answer\. Check the network"),
    ],
)
def test_refusals_are_explained(rest: Rest, status: int, reason: str, message: str) -> None:
    rest.refused = {"/jobs": (status, reason, "so it is"), "/tables": (status, reason, "so it is")}
    where = "purchases my-project.shop.purchases, products my-project.shop.products, dataset my-project.temp"
    with source() as opened:
        with pytest.raises(InputError, match=f"^{where}: found .*so it is.*, {message}"):
            opened.materialise("examples", "SELECT 1", {})
        with pytest.raises(InputError, match=f"^products my-project.shop.products: found .*so it is.*, {message}"):
            opened.columns("products")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bigquery_read, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", address)
    monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", address)
    started = time.monotonic()
    with source() as opened:
        with pytest.raises(InputError, match=r"^purchases my-project.*refused.*expected an answer"):
            opened.columns("purchases")
        with pytest.raises(InputError, match=r"^temporary table my-project.*expected an answer"):
            opened.streams(["n"])
    assert time.monotonic() - started < 10


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(InputError, match=r"project my-project: found .*none\.json.*expected valid credentials"):
        source().__enter__()


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt])
def test_temporary_tables_go_even_after_a_failure(rest: Rest, failure: type[BaseException]) -> None:
    opened = source()

    def fail() -> None:
        with opened:
            opened.materialise("judged", "SELECT 1", {})
            opened.materialise("examples", "SELECT 2 FROM {judged}", {})
            raise failure

    with pytest.raises(failure):
        fail()
    assert f"FROM `{opened.names['judged']}`" in rest.jobs()[-1]["configuration"]["query"]["query"]
    paths = []
    for step in sources.STEPS:
        project, dataset, table = opened.names[step].split(".")
        paths.append(f"/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}")
    assert [request for request in rest.requests if request[0] == "DELETE"] == [("DELETE", path, {}) for path in paths]


def test_a_table_that_cannot_be_deleted_fails_nothing(rest: Rest, capsys: pytest.CaptureFixture[str]) -> None:
    rest.refused = {"DELETE": (403, "accessDenied", "no bigquery.tables.delete")}
    with source() as opened:
        opened.materialise("examples", "SELECT 1", {})
    assert f"{opened.names['examples']}: not deleted, expires within a day (403" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field_type", "mode", "expected"),
    [
        *[("STRING", "NULLABLE", "string"), ("INTEGER", "REQUIRED", "int64"), ("NUMERIC", "NULLABLE", "float")],
        *[("TIMESTAMP", "NULLABLE", "timestamp"), ("GEOGRAPHY", "NULLABLE", "GEOGRAPHY")],
        *[("STRING", "REPEATED", "list<string>"), ("INTEGER", "REPEATED", "ARRAY<INTEGER>")],
    ],
)
def test_column_types(field_type: str, mode: str, expected: str) -> None:
    assert bigquery.column_type(field_type, mode) == expected


class Storage(grpc.GenericRpcHandler):
    """Serves ROWS in messages of 100; call by call it breaks as `faults` says: after so many messages, with a code."""

    def __init__(self) -> None:
        self.faults: list[tuple[int, grpc.StatusCode | float]] = []
        self.offsets: list[int] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method.endswith("/ReadRows"):
            return grpc.unary_stream_rpc_method_handler(self._read, types.ReadRowsRequest.deserialize)
        return None

    def _read(self, request: types.ReadRowsRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        self.offsets.append(request.offset)
        after, fault = self.faults.pop(0) if self.faults else (-1, 0.0)
        for number, batch in enumerate(ROWS.slice(request.offset).to_batches(max_chunksize=100)):
            if number == after and isinstance(fault, float):
                time.sleep(fault)
            elif number == after:
                context.abort(fault, "so it is")
            data = types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes())
            response = types.ReadRowsResponse(arrow_record_batch=data, row_count=batch.num_rows)
            yield types.ReadRowsResponse.serialize(response)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setattr(bigquery_read, "FIRST_PAUSE", 0.001)
    with ThreadPoolExecutor(2) as threads:
        server, handler = grpc.server(threads), Storage()
        server.add_generic_rpc_handlers([handler])
        port = server.add_insecure_port("127.0.0.1:0")
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", f"127.0.0.1:{port}")
        server.start()
        yield handler
        server.stop(None).wait()


def stream() -> BigQueryStream:
    schema = ROWS.schema.serialize().to_pybytes()
    return BigQueryStream(Endpoint("my-project"), "projects/p/locations/l/sessions/s/streams/0", schema)


def test_streams_carry_the_endpoint_to_workers(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pickle.dumps(stream())
    monkeypatch.delenv("BIGQUERY_STORAGE_EMULATOR_HOST")
    travelled = pickle.loads(packed)  # noqa: S301
    assert isinstance(travelled, Stream)
    for _ in range(2):
        assert pa.Table.from_batches(travelled.read()) == ROWS
    assert storage.offsets == [0, 0]


BREAKS = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.ABORTED


def test_a_broken_stream_goes_on_behind_the_last_row(storage: Storage) -> None:
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    storage.faults = [(3, BREAKS[0]), (0, BREAKS[1]), (2, BREAKS[2]), (1, exhausted), (0, BREAKS[3])]
    assert pa.Table.from_batches(stream().read()) == ROWS
    assert storage.offsets == [0, 300, 300, 500, 600, 600]


def test_attempts_are_counted_anew_after_every_row(storage: Storage) -> None:
    storage.faults = [(0, BREAKS[0]), (0, BREAKS[0]), (1, BREAKS[0])] * 9
    assert pa.Table.from_batches(stream().read()) == ROWS
    assert len(storage.offsets) == 28


def test_a_call_that_hangs_is_given_up(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bigquery_read, "CALL_SECONDS", 0.5)
    storage.faults = [(4, 1.0)]
    assert pa.Table.from_batches(stream().read()) == ROWS
    assert storage.offsets == [0, 400]


def test_a_stream_that_stays_broken(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    storage.faults = [(2, BREAKS[0]), *[(0, BREAKS[0])] * 99]
    batches = stream().read()
    assert [next(batches).num_rows for _ in range(2)] == [100, 100]
    with pytest.raises(InputError, match=r"streams/0: found broken after 200 rows, attempt 7 of 7: 503 so it is, "):
        next(batches)
    assert storage.offsets == [0] + [200] * 6
    assert len(pauses) == 6
    for number, pause in enumerate(pauses):
        assert 0.0005 * 2**number <= pause <= 0.001 * 2**number


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (grpc.StatusCode.NOT_FOUND, InputError, "broken after 100 rows, attempt 1 of 7: 404 so it is"),
        (grpc.StatusCode.FAILED_PRECONDITION, InputError, "broken after 100 rows, attempt 1 of 7: 400 so it is"),
        (grpc.StatusCode.PERMISSION_DENIED, InputError, r"streams/0: found so it is, expected permission\. Grant"),
    ],
)
def test_what_no_repetition_mends(storage: Storage, code: Any, error: type[Exception], message: str) -> None:
    storage.faults = [(1, code)]
    with pytest.raises(error, match=message):
        list(stream().read())
    assert storage.offsets == [0]
