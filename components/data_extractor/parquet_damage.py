"""Which column of which file a query has stumbled over, found only once it has."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from components.common.errors import InputError
from components.data_extractor import times
from components.data_extractor.parquet_files import File

pc: Any = pyarrow.compute  # pyarrow's type stubs know too little of its kernels

# DuckDB counts microseconds in 64 bits; Parquet may count milliseconds.
LAST = (2**63 - 1) // 1_000_000


def find(table: str, path: str, files: Iterable[File], wanted: Mapping[str, str]) -> list[InputError]:
    """Text that is not UTF-8, and times that no database holds: one fault for every file and column."""
    faults: list[InputError] = []
    for file in files:
        # A page that nobody can read is for DuckDB to tell of.
        with contextlib.suppress(pa.ArrowException, OSError), pq.ParquetFile(file.path) as opened:
            for name, kind in wanted.items():
                if name not in opened.schema_arrow.names:
                    continue
                where = f"{table} {path}, " + (f"file {file.name}, " if file.name != path else "") + f"column {name}"
                if kind == "timestamp":
                    faults += _times(where, opened, name)
                elif kind in ("string", "list<string>"):
                    faults += _texts(where, opened, name)
    return faults


def _texts(where: str, file: pq.ParquetFile, name: str) -> list[InputError]:
    for batch in file.iter_batches(columns=[name]):
        column: Any = batch.column(0)
        while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            column = column.flatten()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            return []
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            bad = next(value for value in column.cast(pa.large_binary()).to_pylist() if not _is_utf_8(value))
            found = f"text that is not valid UTF8, such as {bad!r} ({bad.decode('latin-1')!r} in Latin-1)"
            remedy = "Write the file again with its texts decoded as what they are, and so encoded as UTF-8."
            return [InputError(where, found, "UTF-8", remedy)]
    return []


def _is_utf_8(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _times(where: str, file: pq.ParquetFile, name: str) -> list[InputError]:
    """Times that are no 64 bits of microseconds."""
    kind: Any = file.schema_arrow.field(name).type
    if not pa.types.is_timestamp(kind):
        return []
    clock = times.UNITS[kind.unit]
    ends = [pc.min_max(batch.column(0).cast(pa.int64())).as_py() for batch in file.iter_batches(columns=[name])]
    values = [end // clock for pair in ends for end in pair.values() if end is not None]
    beyond = [value for value in values if abs(value) > LAST]
    if not beyond:
        return []
    mistaken = times.mistaken(min(beyond), max(beyond))
    found = f"times such as {times.in_words(beyond[0])}" + (f"; {mistaken}" if mistaken else "")
    remedy = times.REMEDY if mistaken else "Write the file again without these rows."
    return [InputError(where, found, "times from 1990 to tomorrow", remedy)]
