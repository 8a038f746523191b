"""What becomes of values when a column of a file gets another type, and what they look like where it cannot."""

from typing import Any, NamedTuple

import duckdb

from components.data_extractor import times
from components.data_extractor.parquet_files import NULL, NULLS, File, Group, kind_of, reader

FILE = "metro_recs_file"
EXACT = {"DOUBLE": 2**53, "FLOAT": 2**24}  # from here on a float stands for several whole numbers
# Numbers as texts: how each is written with a decimal comma, and with commas between the thousands.
DECIMAL_COMMA = r"\s*[+-]?(\d{1,3}(\.\d{3})*|\d+)(,\d+)?\s*"
THOUSANDS = r"\s*[+-]?(\d{1,3}(,\d{3})*|\d+)(\.\d+)?\s*"
FROM_UNIT = {
    "s": "make_timestamp({} * 1000000)",
    "ms": "make_timestamp({} * 1000)",
    "us": "make_timestamp({})",
    "ns": "make_timestamp({} // 1000)",
}


class Conversion(NamedTuple):
    """How a column is read.

    Attributes:
        expression: SQL of the value.
        bad: SQL of the condition under which the value would change; "" where that cannot be.
        why: Why it would.
    """

    expression: str
    bad: str = ""
    why: str = ""


class Bad(NamedTuple):
    """Values that meet a condition: how many, one of them, and a file that has it."""

    rows: int
    value: Any
    file: File

    def __str__(self) -> str:
        return f"{self.rows:,} {'value' if self.rows == 1 else 'values'} such as {_shown(self.value)}"


class Sample(NamedTuple):
    """What a column of the wrong type holds.

    Attributes:
        words: That, to go on with behind the type.
        expression: SQL that gives what was meant; "" where nobody can know.
    """

    words: str
    expression: str


def conversion(name: str, found: str, target: str) -> Conversion | None:
    """How a column of one type is read as another; None where that is never without loss."""
    column, kind, integer = f'"{name}"', kind_of(target), is_integer(found)
    cast, whole = f"CAST({column} AS {target})", f"TRY_CAST({column} AS BIGINT)"
    if found == NULL:
        return Conversion(f"CAST(NULL AS {target})")
    if found == NULLS and kind == "list<string>":
        return Conversion(cast)
    if kind == "float" and integer:
        largest = EXACT["DOUBLE"]
        return Conversion(
            cast,
            f"{column} NOT BETWEEN {-largest} AND {largest}",
            "beyond 2^53, where a float stands for several whole numbers",
        )
    if found.startswith("DECIMAL") and kind == "float":
        back = f"TRY_CAST({cast} AS {found}) IS DISTINCT FROM {column}"
        return Conversion(cast, back, "of which a float does not hold all digits")
    if kind_of(found) == kind:
        return Conversion(cast)
    as_target = whole if kind == "int64" else f"CAST({whole} AS VARCHAR)"
    if kind in ("string", "int64") and integer:
        return Conversion(as_target, f"{whole} IS NULL AND {column} IS NOT NULL", "beyond 64 bits")
    if kind in ("string", "int64") and kind_of(found) == "float":
        exact = EXACT.get(found)
        present = f"{column} IS NOT NULL" + (f" AND NOT isnan({column})" if exact else "")
        changed = f"{whole} IS NULL OR {whole} <> {column}" + (f" OR abs({column}) >= {exact}" if exact else "")
        why = "not a whole number" + (", or so large that a float stands for several" if exact else "")
        return Conversion(as_target, f"{present} AND ({changed})", why)
    if kind == "string" and found == "BLOB":
        bad = f"{column} IS NOT NULL AND TRY(decode({column})) IS NULL"
        return Conversion(f"decode({column})", bad, "which is not UTF-8")
    return None


def is_integer(duckdb_type: str) -> bool:
    return kind_of(duckdb_type) == "int64" or duckdb_type == "UBIGINT"


def is_number(duckdb_type: str) -> bool:
    return is_integer(duckdb_type) or kind_of(duckdb_type) == "float"


def disguised(name: str) -> str:
    """SQL of the condition that a text is a whole number, but not written as numbers are: 00123, 17850.0."""
    number, plain = r"\s*[+-]?[0-9]+([.]0*)?\s*", "0|-?[1-9][0-9]*"
    return f"""regexp_full_match("{name}", '{number}') AND NOT regexp_full_match("{name}", '{plain}')"""


def matching(connection: duckdb.DuckDBPyConnection, name: str, condition: str, group: Group) -> Bad | None:
    """The values of a column that meet an SQL condition; None where there are none. Reads the column."""
    if not condition:
        return None
    files = reader((file.path for file in group.files), f", filename = '{FILE}'")
    found = connection.execute(
        f'SELECT COUNT(*), MIN({FILE}), arg_min("{name}", {FILE}) FROM {files} WHERE {condition}'  # noqa: S608
    ).fetchall()
    count, path, value = found[0]
    if not count:
        return None
    return Bad(count, value, next(file for file in group.files if file.path == path))


def sample(connection: duckdb.DuckDBPyConnection, name: str, kind: str, found: str, group: Group) -> Sample:
    """Looks at a column that has a type other than `kind`, for an error about it."""
    column = f'"{name}"'
    try:
        if kind == "timestamp" and is_integer(found):
            return _numbers_as_times(name, *_one(connection, f"MIN({column}), MAX({column})", group))
        if found == "DATE":
            return Sample(", which has no time of day", f"CAST({name} AS TIMESTAMP)" if kind == "timestamp" else "")
        if found != "VARCHAR" and not is_number(found):
            return Sample("", f"decode({name})" if found == "BLOB" else "")
        # The value that is the least like what was asked for says the most.
        wanted = {"float": "DOUBLE", "int64": "BIGINT", "timestamp": "TIMESTAMP", "string": "BIGINT"}.get(kind, found)
        cast = f"TRY_CAST({column} AS {wanted})"
        unlike = f"{cast} IS NOT NULL" + (f" AND {cast} = {column}" if is_number(found) and wanted == "BIGINT" else "")
        given = f"{column} IS NOT NULL" + (f" AND NOT isnan({column})" if found in EXACT else "")
        query = f"arg_min({column}, {unlike}) FILTER ({given}), MIN({unlike}) FILTER ({given})"
        value, fits = _one(connection, query, group)
        if kind == "float" and isinstance(value, str) and "," in value:
            return _with_commas(connection, name, value, group)
    except duckdb.Error:  # such as text that is no UTF-8, or numbers beyond all times
        return Sample("", "")
    if value is None:
        return Sample(" without a single value", "")
    return Sample(f", such as {_shown(value)}", _meant(name, kind, found) if fits else "")


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str | bytes) else str(value)


def _one(connection: duckdb.DuckDBPyConnection, selected: str, group: Group) -> tuple[Any, ...]:
    (row,) = connection.execute(
        f"SELECT {selected} FROM {reader(file.path for file in group.files)}"  # noqa: S608
    ).fetchall()
    return tuple(row)


def _numbers_as_times(name: str, smallest: int | None, largest: int | None) -> Sample:
    if smallest is None or largest is None:
        return Sample(" without a single value", "")
    unit = times.unit_of(smallest, largest)
    words = f", from {smallest} to {largest}" + (f", as {times.NAMES[unit]} since 1970 would be" if unit else "")
    return Sample(words, FROM_UNIT[unit].format(name) if unit else "")


def _with_commas(connection: duckdb.DuckDBPyConnection, name: str, value: str, group: Group) -> Sample:
    """What the commas in texts of numbers are, where all of the column's texts tell the same."""
    patterns = DECIMAL_COMMA, THOUSANDS
    fits = ", ".join(f"""bool_and(regexp_full_match("{name}", '{pattern}'))""" for pattern in patterns)
    decimal, thousands = _one(connection, fits, group)
    shown = f", such as {value!r}"
    if decimal == thousands:
        return Sample(f"{shown}, with commas that may be decimal ones or stand between thousands", "")
    if decimal:
        return Sample(f"{shown}, with a decimal comma", f"CAST(replace(replace({name}, '.', ''), ',', '.') AS DOUBLE)")
    return Sample(f"{shown}, with commas between the thousands", f"CAST(replace({name}, ',', '') AS DOUBLE)")


def _meant(name: str, kind: str, found: str) -> str:
    return {
        "string": f"CAST({name if is_integer(found) else f'TRY_CAST({name} AS BIGINT)'} AS VARCHAR)",
        "float": f"CAST({name} AS DOUBLE)",
        "int64": f"CAST({name} AS BIGINT)",
        "timestamp": f"CAST({name} AS TIMESTAMP)" if found == "VARCHAR" else "",
    }.get(kind, "")
