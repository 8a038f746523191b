"""Purchases and products in Parquet files, queried by DuckDB."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from sqlglot import exp

from components.common import schema, storage
from components.common.errors import InputError
from components.data_extractor.sources import Source, Step, Table, with_names

STREAMS = 4
# DuckDB spills to disk beyond its limit; without one it takes most of the machine's memory. Every thread needs a part.
MEMORY_LIMIT, MAX_THREADS = "300MB", 2
BATCH = 32_768  # rows of a row group, of a batch, and so of a gzip member; a multiple of DuckDB's 2,048
TYPES = {
    "VARCHAR": "string",
    "VARCHAR[]": "list<string>",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "int64"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "float"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "timestamp"),
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}
# The same rows give the same file in whatever order they were read, and every stream is a random sample.
ORDER = f"ORDER BY dropped IS NOT NULL, hash(*COLUMNS(* EXCLUDE ({', '.join(schema.PRODUCT_COLUMNS)})))"


@dataclass(frozen=True)
class ParquetStream:
    """Some row groups of the stored result."""

    path: str
    row_groups: tuple[int, ...]
    columns: tuple[str, ...]

    def read(self) -> Iterator[pa.RecordBatch]:
        texts = [field.name for field in pq.read_schema(self.path) if pa.types.is_string(field.type)]
        columns = [*self.columns, "dropped"]
        # As dictionaries, as they are stored: most texts repeat within a batch.
        with pq.ParquetFile(self.path, read_dictionary=texts) as file:
            for batch in file.iter_batches(BATCH, row_groups=list(self.row_groups), columns=columns):
                dropped = batch["dropped"]
                kept = batch if dropped.null_count == len(dropped) else batch.filter(dropped.is_null())
                yield kept.select(self.columns)


class ParquetSource(Source):
    """Both tables as views of an in-memory database.

    Args:
        purchases: A path or glob, local or gs://.
        products: The same.

    Raises:
        InputError: no such file, or not Parquet.
    """

    def __init__(self, purchases: str, products: str):
        self.names: dict[str, str] = {"purchases": "purchases_table", "products": "products_table"}
        self.paths: dict[Table, str] = {"purchases": purchases, "products": products}

    def __enter__(self) -> "ParquetSource":
        with contextlib.ExitStack() as stack:
            self.folder = tempfile.mkdtemp(prefix="metro-recs-")
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.connection = stack.enter_context(duckdb.connect())
            # Timestamps without a zone count as UTC, in every time zone that this runs in.
            self.connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            threads = min(
                MAX_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else MAX_THREADS
            )
            self.connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET threads = {threads}")
            self.connection.execute("SET preserve_insertion_order = false")  # what needs an order, sorts
            self.connection.execute("SET temp_directory = $folder", {"folder": os.path.join(self.folder, "spill")})
            for table, path in self.paths.items():
                files = _local_files(stack, table, path)
                with _explained(f"{table} {path}"):
                    self.connection.read_parquet(files).create_view(self.names[table])
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def columns(self, table: Table) -> dict[str, str]:
        described = self.connection.execute(f"DESCRIBE {self.names[table]}").fetchall()
        return {name: TYPES.get(kind.split("(")[0], kind) for name, kind, *_ in described}

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        with _explained(" and ".join(self.paths.values())):
            result = self.connection.execute(to_duckdb(with_names(sql, self.names)), dict(parameters))
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def materialise(self, name: Step, sql: str, parameters: Mapping[str, Any]) -> None:
        """The result in one Parquet file; Examples in the order of a hash."""
        result = self._path(name)
        ordered = f"SELECT * FROM ({to_duckdb(with_names(sql, self.names))})"  # noqa: S608  names of our own
        if name == "examples":
            ordered += f" {ORDER}"
        copy = f"COPY ({ordered}) TO '{result}' (FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE {BATCH})"
        with _explained(" and ".join(self.paths.values())):
            self.connection.execute(copy, dict(parameters))
        self.names[name] = f"{name}_table"
        self.connection.read_parquet(result).create_view(self.names[name])

    def streams(self, columns: Sequence[str]) -> list[ParquetStream]:
        with pq.ParquetFile(self._path("examples")) as file:
            groups = range(file.num_row_groups)
        shares = (tuple(groups[i::STREAMS]) for i in range(min(STREAMS, len(groups))))
        return [ParquetStream(self._path("examples"), share, tuple(columns)) for share in shares]

    def _path(self, name: Step) -> str:
        return os.path.join(self.folder, f"{name}.parquet")


def to_duckdb(sql: str) -> str:
    """Translates one statement from BigQuery's dialect; @parameters become $parameters.

    DuckDB would store the result of every step of a WITH; the steps here cost less than storing millions of rows.
    """
    tree = sqlglot.parse_one(sql, read="bigquery")
    for step in tree.find_all(exp.CTE):
        step.set("materialized", False)
    return tree.sql("duckdb", comments=False)


def _local_files(stack: contextlib.ExitStack, table: str, path: str) -> list[str]:
    files = storage.list_files(path)
    if not files:
        raise InputError(f"{table} {path}", "no such file", "Parquet files", f"Check the path given as {table}.")
    folders = [file for file in files if os.path.isdir(file)]
    if folders:
        raise InputError(f"{table} {path}", "a folder", "Parquet files", f"Pass {storage.join(path, '*.parquet')}.")
    return [stack.enter_context(storage.staged(file)) for file in files]


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turns what DuckDB says about a file into an InputError."""
    try:
        yield
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(where, f"a file that DuckDB cannot read ({reason})", "Parquet", "Write it again.") from error
