"""The files of a table: which there are, and what their footers say of the columns that are read.

Nothing but footers is read here, a fraction of a millisecond a file.
"""

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from components.common.errors import InputError

# DuckDB's types as `Source.select` is asked for them.
KINDS = {
    "VARCHAR": "string",
    "VARCHAR[]": "list<string>",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "int64"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "float"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "timestamp"),
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}
ALIKE = {"VARCHAR", "VARCHAR[]", "BIGINT"}  # whose name in KINDS says everything
NULL, NULLS = "null", "list<null>"  # Parquet's type of a column without a single value, which DuckDB calls INTEGER
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
IN_PATH = re.compile(r"([^/=]+)=([^/]*)/")


@dataclass(frozen=True)
class File:
    """A file of a table.

    Attributes:
        path: Where it is read.
        name: What the user calls it: a file in a bucket is read from a copy.
    """

    path: str
    name: str


@dataclass
class Group:
    """Files that have the columns that are read with the same types.

    Attributes:
        types: Per column its type, as DuckDB names it, or NULL or NULLS; a column that the files lack is absent.
        folders: The columns that are in the folders' names instead: {column: value}, None for no value.
        names: All columns.
    """

    types: dict[str, str]
    folders: dict[str, str | None]
    names: list[str]
    files: list[File] = field(default_factory=list)

    def __str__(self) -> str:
        return some([file.name for file in self.files])


def read(
    connection: duckdb.DuckDBPyConnection, table: str, files: Iterable[File], wanted: Mapping[str, str]
) -> tuple[list[Group], list[InputError], list[str]]:
    """Reads the footers.

    Args:
        connection: Asked how DuckDB reads the columns.
        table: purchases or products, for errors.
        files: Those of the table.
        wanted: The columns that are read.

    Returns:
        The files that have rows, by their types; what is wrong with single files; and the names of those without rows.
    """
    lowered = {name.lower() for name in wanted}
    found: dict[Any, Group] = {}
    footers: dict[Any, tuple[dict[str, str], list[str]]] = {}
    faults, empty = [], []
    for file in files:
        try:
            with pq.ParquetFile(file.path) as opened:
                rows, schema = opened.metadata.num_rows, opened.schema_arrow
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            remedy = "Write it again, or pass the others alone."
            faults.append(InputError(f"{table} {file.name}", f"a damaged file ({reason})", "Parquet", remedy))
            continue
        if not rows:
            empty.append(file.name)
            continue
        own = [item for item in schema if item.name.lower() in lowered]
        footer = tuple((item.name, str(item.type)) for item in own)
        if footer not in footers:
            footers[footer] = _types(connection, file.path, schema, wanted), schema.names
            faults += _twins(table, file, [item.name for item in own])
        types, names = footers[footer]
        folders = _folders(file.name, {name: kind for name, kind in wanted.items() if name not in types})
        key = tuple(sorted(types.items())), tuple(folders.items())
        found.setdefault(key, Group(types, folders, names)).files.append(file)
    return list(found.values()), faults, empty


def some(names: Sequence[str]) -> str:
    """The first of some files, and how many others there are."""
    others = len(names) - 1
    return names[0] + (f" and {others:,} other {'file' if others == 1 else 'files'}" if others else "")


def by_duckdb(query: str) -> str:
    """How a query becomes a file, in Python, to go on with."""
    return f', such as by duckdb.sql("""{query}""").write_parquet("mended.parquet")'


def said(duckdb_type: str) -> str:
    """A type in an error: as the README names it, and as DuckDB does where that says more."""
    kind = kind_of(duckdb_type)
    return kind if kind == duckdb_type or duckdb_type in ALIKE else f"{kind} ({duckdb_type})"


def kind_of(duckdb_type: str) -> str:
    return KINDS.get(duckdb_type.split("(")[0], duckdb_type)


def _types(
    connection: duckdb.DuckDBPyConnection, path: str, schema: pa.Schema, wanted: Mapping[str, str]
) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader([path])}").fetchall()  # noqa: S608
    types = {}
    # By place: of two columns that differ in case alone DuckDB gives the second another name.
    for item, (_, duckdb_type, *_) in zip(schema, described, strict=True):
        if item.name in wanted and item.name not in types:
            of_items: Any = getattr(item.type, "value_type", None)
            nulls = pa.types.is_list(item.type) and pa.types.is_null(of_items)
            types[item.name] = NULL if pa.types.is_null(item.type) else NULLS if nulls else duckdb_type
    return types


def _twins(table: str, file: File, names: list[str]) -> list[InputError]:
    """DuckDB does not tell names apart by case: it would read the first of two, whichever that is."""
    faults = []
    for name in dict.fromkeys(names):
        alike = [other for other in names if other.lower() == name.lower()]
        if len(alike) > 1 and name == alike[0]:
            remedy = "Write the file again with one of them."
            where = f"{table} {file.name}, column {name}"
            faults.append(InputError(where, f"several of the name: {', '.join(alike)}", "one", remedy))
    return faults


def _folders(path: str, lacking: Mapping[str, str]) -> dict[str, str | None]:
    """The texts among the lacking columns that stand in the path, as in .../city=Ulm/part-0.parquet."""
    there = {unquote(key): unquote(value) for key, value in IN_PATH.findall(path)}
    return {
        name: None if there[name] == NO_VALUE else there[name]
        for name, kind in lacking.items()
        if kind == "string" and name in there
    }


def reader(paths: Iterable[str], extra: str = "") -> str:
    """SQL that reads files, and nothing else than what is in them: not the names of their folders."""
    # Escaped, because DuckDB too takes names for patterns.
    listed = ", ".join(literal(glob.escape(path)) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false{extra})"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
