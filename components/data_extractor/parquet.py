"""Purchases and products in Parquet files, queried by DuckDB."""

import contextlib
import functools
import glob
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import duckdb
import pyarrow.parquet as pq
import sqlglot
from sqlglot import exp

from components.common import partial, schema, staging, storage
from components.common.errors import InputError
from components.data_extractor import parquet_damage, parquet_files, parquet_types
from components.data_extractor.faults import refuse
from components.data_extractor.parquet_files import File, by_duckdb, literal, reader, some
from components.data_extractor.parquet_stream import BATCH, ParquetStream
from components.data_extractor.sources import Selected, Source, Step, Table, with_names

STREAMS = 4
# DuckDB spills to disk beyond its limit; without one it takes most of the machine's memory. What it cannot spill, such
# as the parts of every thread, may need more: then the limit is doubled, up to the largest.
MEMORY_MB, MOST_MEMORY_MB, MAX_THREADS = 250, 4000, 2
# The same rows give the same file in whatever order they were read, and every stream is a random sample.
ORDER = "ORDER BY dropped IS NOT NULL, hash(*COLUMNS(*))"


class ParquetSource(Source):
    """Both tables as views of an in-memory database.

    Args:
        purchases: A path or glob, local or gs://.
        products: The same.

    Raises:
        InputError: no such file.
    """

    def __init__(self, purchases: str, products: str):
        self.names: dict[str, str] = {"purchases": "purchases_table", "products": "products_table"}
        self.paths: dict[Table, str] = {"purchases": purchases, "products": products}
        self.wanted: dict[Table, Mapping[str, str]] = {}

    def __enter__(self) -> "ParquetSource":
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(partial.folder(os.path.join(tempfile.gettempdir(), "metro-recs")))
            self.connection = stack.enter_context(duckdb.connect())
            # Timestamps without a zone count as UTC, in every time zone that this runs in.
            self.connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            threads = min(
                MAX_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else MAX_THREADS
            )
            self.memory = MEMORY_MB
            self.connection.execute(f"SET memory_limit = '{self.memory}MB'; SET threads = {threads}")
            self.connection.execute("SET preserve_insertion_order = false")  # what needs an order, sorts
            self.connection.execute("SET temp_directory = $folder", {"folder": os.path.join(self.folder, "spill")})
            self.files = {table: _local_files(stack, table, path) for table, path in self.paths.items()}
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def select(self, table: Table, wanted: Mapping[str, str]) -> Selected:
        path = self.paths[table]
        self.wanted[table] = wanted
        groups, faults, empty = parquet_files.read(self.connection, table, self.files[table], wanted)
        if not groups:
            nothing = InputError(f"{table} {path}", "no rows", "at least one", f"Pass {table} with rows.")
            return Selected(faults or [nothing], [])
        self.files[table] = [file for group in groups for file in group.files]
        with self._explained():
            sql, selected = parquet_types.select(self.connection, table, path, groups, wanted)
        faults += selected.faults
        if not faults:
            self.connection.execute(f"CREATE VIEW {self.names[table]} AS {sql}")
        passed_over = [f"{table}: passed over {some(empty)} without rows"] if empty else []
        return Selected(faults, [*passed_over, *selected.conversions])

    def remedy(self, table: Table, change: str, sql: str = "") -> str:
        example = ""
        if sql:
            # The name of a table, because a path is none in BigQuery's dialect.
            query = to_duckdb(with_names(sql, {table: self.names[table]}))
            example = by_duckdb(query.replace(f'"{self.names[table]}"', literal(self.paths[table])))
        return f"Pass files {change} as {table}{example}."

    def place(self, first: int, last: int) -> str:
        within = f"BETWEEN {first * 1_000_000} AND {last * 1_000_000 + 999_999}"
        condition = f'epoch_us(CAST("{schema.TIMESTAMP}" AS TIMESTAMPTZ)) {within}'
        counts = f"SELECT COUNT(*) FROM {{}} WHERE {condition}"  # noqa: S608
        names = [
            file.name
            for file in self.files["purchases"]
            if self.connection.execute(counts.format(reader([file.path]))).fetchall() != [(0,)]
        ]
        return f" in {some(names)}" if names and len(self.files["purchases"]) > 1 else ""

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        with self._explained():
            result = self._execute(to_duckdb(with_names(sql, self.names)), parameters)
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def materialise(self, name: Step, sql: str, parameters: Mapping[str, Any]) -> None:
        """The result in one Parquet file; Examples in the order of a hash, and the products in a file of their own."""
        named, order = with_names(sql, self.names), ""
        with self._explained():
            if name == "examples":
                query, products = _without_products(named)
                self._store("products", products, {})
                order = ORDER
            else:
                query = to_duckdb(named)
            self._store(name, f"SELECT * FROM ({query}) {order}", parameters)  # noqa: S608
        self.names[name] = f"{name}_stored"
        self.connection.read_parquet(glob.escape(self._path(name))).create_view(self.names[name])

    def streams(self, columns: Sequence[str]) -> list[ParquetStream]:
        """The last call: the queries' memory goes to the writers."""
        self.connection.close()
        path, products = self._path("examples"), self._path("products")
        with pq.ParquetFile(path) as file:
            groups = range(file.num_row_groups)
        shares = (tuple(groups[i::STREAMS]) for i in range(min(STREAMS, len(groups))))
        return [ParquetStream(path, share, tuple(columns), products) for share in shares]

    def _store(self, name: str, sql: str, parameters: Mapping[str, Any]) -> None:
        path = self._path(name).replace("'", "''")
        copy = f"COPY ({sql}) TO '{path}' (FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE {BATCH})"
        self._execute(copy, parameters)

    def _execute(self, sql: str, parameters: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
        """Runs a statement, again with twice the memory where it does not get along with less."""
        while True:
            try:
                return self.connection.execute(sql, dict(parameters))
            except duckdb.OutOfMemoryException as error:
                if self.memory >= MOST_MEMORY_MB:
                    found = f"a query that needs more than {self.memory} MB ({str(error).splitlines()[0]})"
                    remedy = "Load the tables into BigQuery, or take fewer rows."
                    raise InputError(" and ".join(self.paths.values()), found, "less", remedy) from error
                self.memory *= 2
                self.connection.execute(f"SET memory_limit = '{self.memory}MB'")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what DuckDB says about a file into an InputError, which names the columns at fault where they show."""
        try:
            yield
        except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
            tables = [(table, self.paths[table], self.files[table], self.wanted[table]) for table in self.wanted]
            refuse([fault for table in tables for fault in parquet_damage.find(*table)])
            reason, where = str(error).splitlines()[0], " and ".join(self.paths.values())
            found = f"a file that DuckDB cannot read ({reason})"
            raise InputError(where, found, "Parquet", "Write it again.") from error

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, f"{name}.parquet")


@functools.cache
def to_duckdb(sql: str) -> str:
    """Translates one statement from BigQuery's dialect; @parameters become $parameters."""
    return _parsed(sql).sql("duckdb", comments=False)


def _parsed(sql: str) -> exp.Query:
    """A statement; DuckDB would store the result of every step of a WITH, which costs more than to compute it again.

    But not that of `before_test`: one number, for which the whole log is read.
    """
    tree = cast(exp.Query, sqlglot.parse_one(sql, read="bigquery"))
    for step in tree.find_all(exp.CTE):
        step.set("materialized", step.alias == "before_test")
    return tree


@functools.cache
def _without_products(sql: str) -> tuple[str, str]:
    """A query for DuckDB without the join with `products` in its last step, and the SQL of `products`."""
    query = _parsed(sql)
    own = [item for item in query.selects if not (isinstance(item, exp.Column) and item.table == "products")]
    query.set("expressions", own)
    query.set("joins", [join for join in query.args["joins"] if join.this.name != "products"])
    (products,) = (step.this for step in query.find_all(exp.CTE) if step.alias == "products")
    return query.sql("duckdb", comments=False), products.sql("duckdb", comments=False)


def _local_files(stack: contextlib.ExitStack, table: str, path: str) -> list[File]:
    files = storage.list_files(path)
    if not files:
        raise InputError(f"{table} {path}", "no such file", "Parquet files", f"Check the path given as {table}.")
    folders = [file for file in files if os.path.isdir(file)]
    if folders:
        raise InputError(f"{table} {path}", "a folder", "Parquet files", f"Pass {storage.join(path, '*.parquet')}.")
    return [File(stack.enter_context(staging.staged(file)), file) for file in files]
