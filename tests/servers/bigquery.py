"""BigQuery on loopback: bqemulator in a process of its own, and real clients to fill it.

bqemulator 1.4.0 starts a stream from its first row, whatever offset is asked for, sends 65,536 rows a message, and
loses a thread to every call that breaks, until after six of them it hangs. A client that takes up broken streams needs
better, so the process below answers ReadRows itself, from bqemulator's own sessions: https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
"""

import asyncio
import contextlib
import functools
import importlib.resources
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

PROJECT, DATASET = "my-project", "shop"
START_SECONDS = 60
TYPES = {
    pa.string(): "STRING",
    pa.large_string(): "STRING",
    pa.int64(): "INT64",
    pa.int32(): "INT64",
    pa.float64(): "FLOAT64",
    pa.float32(): "FLOAT64",
    pa.bool_(): "BOOL",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
    pa.timestamp("us"): "DATETIME",
}


@dataclass(frozen=True)
class Emulator:
    """Addresses of a running emulator, as host:port.

    Args:
        rest: For BIGQUERY_EMULATOR_HOST.
        grpc: For BIGQUERY_STORAGE_EMULATOR_HOST.
    """

    rest: str
    grpc: str

    def environment(self) -> dict[str, str]:
        """The variables that point the DataExtractor here."""
        return {"BIGQUERY_EMULATOR_HOST": self.rest, "BIGQUERY_STORAGE_EMULATOR_HOST": self.grpc}

    def client(self) -> Any:
        """A google.cloud.bigquery.Client."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        return bigquery.Client(PROJECT, AnonymousCredentials(), client_options={"api_endpoint": f"http://{self.rest}"})

    def load(self, name: str, table: pa.Table | str) -> str:
        """Replaces the table `name` by a pyarrow table or a Parquet file.

        Returns:
            Its full name, project.dataset.table.
        """
        from google.cloud import bigquery

        full = f"{PROJECT}.{DATASET}.{name}"
        with tempfile.TemporaryDirectory() as folder, contextlib.closing(self.client()) as client:
            path = table if isinstance(table, str) else os.path.join(folder, "table.parquet")
            if not isinstance(table, str):
                pq.write_table(table, path)
            client.delete_table(full, not_found_ok=True)
            # The emulator does not create a table from Parquet by itself.
            client.create_table(bigquery.Table(full, [_field(field) for field in pq.read_schema(path)]))
            if pq.read_metadata(path).num_rows:
                config = bigquery.LoadJobConfig(source_format="PARQUET")
                with open(path, "rb") as file:
                    client.load_table_from_file(file, full, job_config=config).result()
        return full

    def tables(self) -> list[str]:
        """The tables of the dataset, sorted."""
        with contextlib.closing(self.client()) as client:
            return sorted(table.table_id for table in client.list_tables(f"{PROJECT}.{DATASET}"))


@contextlib.contextmanager
def running(message_rows: int = 8192) -> Iterator[Emulator]:
    """Starts an emulator with one empty dataset, and stops it at the end; about four seconds.

    Args:
        message_rows: Rows of a message of the Storage Read API.

    Raises:
        RuntimeError: it did not start; with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="bigquery-") as home, open(os.path.join(home, "log"), "w+") as log:
        _install_spatial(home)
        settings = {"BQEMU_ENABLE_FORMAT_EXTENSIONS": "false", "BQEMU_UPLOAD_STAGING_DIR": home}
        environment = {**os.environ, "HOME": home, **settings}
        command = [sys.executable, "-m", "tests.servers.bigquery", os.path.join(home, "addresses"), str(message_rows)]
        root = Path(__file__).resolve().parents[2]
        process = subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            emulator = _started(process, command[-2], log)
            with contextlib.closing(emulator.client()) as client:
                client.create_dataset(DATASET)
            yield emulator
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin
            process.stdin.close()


def _started(process: subprocess.Popen, addresses: str, log: IO[str]) -> Emulator:
    deadline = time.monotonic() + START_SECONDS
    while not os.path.exists(addresses):
        if process.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            raise RuntimeError(f"bqemulator did not start: {log.read()[-2000:]}")
        time.sleep(0.05)
    return Emulator(**json.loads(Path(addresses).read_text()))


def _install_spatial(home: str) -> None:
    """Puts the extension where the emulator's DuckDB looks for it, instead of downloading it."""
    (extension,) = importlib.resources.files("duckdb_extension_spatial").rglob("spatial.duckdb_extension")  # type: ignore[attr-defined]
    with duckdb.connect() as connection:
        connection.execute("SET extension_directory = $folder", {"folder": os.path.join(home, ".duckdb/extensions")})
        connection.execute(f"INSTALL '{extension}'")


def _field(field: pa.Field) -> Any:
    from google.cloud import bigquery

    if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
        return bigquery.SchemaField(field.name, TYPES[field.type.value_type], mode="REPEATED")
    return bigquery.SchemaField(field.name, TYPES[field.type])


async def _serve(addresses: str, message_rows: str) -> None:
    """The emulator's process: writes its addresses to a file once it answers, then waits for its starter to end."""
    from bqemulator.config import LogLevel, Settings
    from bqemulator.grpc_api.read_servicer import BigQueryReadHandler
    from bqemulator.server import EmulatorServer

    handle = functools.partialmethod(_read_rows, int(message_rows))
    BigQueryReadHandler._handle_read_rows = handle  # type: ignore[assignment,method-assign]
    server = EmulatorServer(Settings(rest_port=0, grpc_port=0, log_level=LogLevel.WARNING))
    await server.start()
    partial = Path(f"{addresses}.partial")
    partial.write_text(json.dumps({"rest": f"127.0.0.1:{server.rest_port}", "grpc": server.grpc_endpoint}))
    partial.rename(addresses)
    await asyncio.to_thread(sys.stdin.read)  # returns once the other end is gone, even if that was killed
    os._exit(0)  # there is nothing to save, and threads of unfinished calls would be waited for


async def _read_rows(_: Any, message_rows: int, request_bytes: bytes, context: Any) -> AsyncIterator[bytes]:
    """ReadRows of one stream, from the offset that the client asks for."""
    import grpc
    from bqemulator.streaming.read_session import get_stream_data, serialize_arrow_record_batch
    from google.cloud.bigquery_storage_v1 import types

    request = types.ReadRowsRequest.deserialize(request_bytes)
    rows = get_stream_data(request.read_stream.rpartition("/streams/")[0], request.read_stream)
    if rows is None:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details(f"Stream not found: {request.read_stream}")
        return
    for batch in rows.slice(request.offset).to_batches(max_chunksize=message_rows):
        data = types.ArrowRecordBatch(serialized_record_batch=serialize_arrow_record_batch(batch))
        response = types.ReadRowsResponse(row_count=batch.num_rows, arrow_record_batch=data)
        yield types.ReadRowsResponse.serialize(response)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
