"""One type for every column of a table of many files.

DuckDB takes the types of the first file and casts the others without a word: ids that pandas has made floats would
become «17850.0», prices whole numbers. Here a column has the type that is asked of it in one file at least; files that
have it otherwise are converted where nothing is lost by it, which is said, and refused where something would be.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import duckdb

from components.common.errors import InputError
from components.data_extractor import parquet_values as values
from components.data_extractor.parquet_files import NULL, NULLS, Group, by_duckdb, kind_of, literal, reader, said
from components.data_extractor.parquet_values import Conversion
from components.data_extractor.sources import ACCEPTED, REQUIRED, Selected, Table

# What a column becomes where its files differ.
TARGETS = {"string": "VARCHAR", "int64": "BIGINT", "float": "DOUBLE", "list<string>": "VARCHAR[]"}


class Column(NamedTuple):
    """A column that is read, and all that an error about it says."""

    table: Table
    path: str
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.table}, column {self.name}"

    def fault(self, group: Group, many: bool, found: str, expected: str, remedy: str) -> InputError:
        where = f"{self.table} {self.path}, " + (f"file {group}, " if many else "") + f"column {self.name}"
        return InputError(where, found, expected, remedy)


def select(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    path: str,
    groups: list[Group],
    wanted: Mapping[str, str],
) -> tuple[str, Selected]:
    """SQL of the table with the wanted columns in one type each.

    Args:
        connection: Looks at the values of the columns that need a conversion, and of no other.
        table: purchases or products.
        path: As the user gave it.
        groups: Its files, as `parquet_files.read` gives them.
        wanted: The columns with the types that are asked for.

    Returns:
        The SQL, which holds only where there are no faults; and the faults and conversions.
    """
    expressions: list[list[str]] = [[] for _ in groups]
    faults: list[InputError] = []
    conversions: list[str] = []
    for name, kind in wanted.items():
        column = Column(table, path, name, kind)
        found, converted, chosen = _resolve(connection, column, groups)
        faults += found
        conversions += converted
        for listed, expression in zip(expressions, chosen, strict=True):
            listed.append(f'{expression} AS "{name}"')
    parts = [
        f"SELECT {', '.join(listed)} FROM {reader(file.path for file in group.files)}"  # noqa: S608
        for listed, group in zip(expressions, groups, strict=True)
    ]
    return "\nUNION ALL\n".join(parts), Selected(faults, conversions)


def _resolve(
    connection: duckdb.DuckDBPyConnection, column: Column, groups: list[Group]
) -> tuple[list[InputError], list[str], list[str]]:
    """The faults and conversions of a column, and an expression for every group."""
    by_type: dict[str | None, Group] = {}
    for group in groups:
        if column.name not in group.folders:
            alike = by_type.setdefault(group.types.get(column.name), Group(group.types, {}, group.names))
            alike.files.extend(group.files)
    accepted = ACCEPTED.get(column.kind, (column.kind,))
    own = [found for found in by_type if found and kind_of(found) in accepted]
    several = len(by_type.keys() - {None, NULL, NULLS}) > 1
    target = _target(column.kind, own) if several or not own else own[0]
    example = _example(by_type, column, own)
    faults: list[InputError] = []
    conversions: list[str] = []
    expressions: dict[str | None, str] = {}
    for found, group in by_type.items():
        expressions[found] = f'"{column.name}"'
        conversion = values.conversion(column.name, found, target) if found and own else None
        if found is None:
            faults.append(_lost(column, group, len(by_type) > 1))
        elif found == target and own:
            continue
        elif conversion is None:
            faults.append(_other_type(connection, column, group, found, example, len(by_type) > 1))
        elif fault := _lossy(connection, column, group, found, conversion, example):
            faults.append(fault)
        else:
            expressions[found] = conversion.expression
            conversions.append(f"{column}: {said(found)} in {group} read as {said(target)}")
    from_folders = [group for group in groups if column.name in group.folders]
    if from_folders:
        conversions.append(f"{column}: from the names of folders, as in {from_folders[0]}")
    if target == "VARCHAR":
        faults += _numbers_in_disguise(connection, column, by_type)
    chosen = [
        _from_folder(group.folders[column.name])
        if column.name in group.folders
        else expressions[group.types.get(column.name)]
        for group in groups
    ]
    return faults, conversions, chosen


def _from_folder(value: str | None) -> str:
    return "CAST(NULL AS VARCHAR)" if value is None else literal(value)


def _target(kind: str, own: Iterable[str]) -> str:
    if kind == "timestamp":  # a time without a zone counts as UTC
        return "TIMESTAMP WITH TIME ZONE" if "TIMESTAMP WITH TIME ZONE" in own else "TIMESTAMP"
    return TARGETS[kind]


def _example(by_type: Mapping[str | None, Group], column: Column, types: Sequence[str]) -> str:
    """A file that has the column in one of some types, for errors."""
    if not types:
        return ""
    exact = f", where it is {said(types[0])}" if said(types[0]) != column.kind else ""
    return f" as in {by_type[types[0]].files[0].name}{exact}"


def _lost(column: Column, group: Group, many: bool) -> InputError:
    alike = [name for name in group.names if name.lower() == column.name.lower()]
    remedy = "Pass files that have it."
    if alike:
        query = f'SELECT * EXCLUDE ("{alike[0]}"), "{alike[0]}" AS {column.name} FROM {literal(group.files[0].name)}'  # noqa: S608
        remedy = f"Pass files in which {alike[0]} is called {column.name}{by_duckdb(query)}."
    expected = f"a column {column.name} of type {column.kind}"
    return column.fault(group, many, f"only {', '.join(group.names)}", expected, remedy + _without(column))


def _other_type(
    connection: duckdb.DuckDBPyConnection, column: Column, group: Group, found: str, example: str, many: bool
) -> InputError:
    expected = column.kind + example
    if found == NULL:
        shown, remedy = "type null, a column without a single value", "Pass files with values in it."
        return column.fault(group, many, shown, expected, remedy + _without(column))
    sample = values.sample(connection, column.name, column.kind, found, group)
    remedy = f"Pass files in which it is of type {column.kind}"
    if sample.expression:
        replaced = f"SELECT * REPLACE ({sample.expression} AS {column.name})"
        remedy += by_duckdb(f"{replaced} FROM {literal(group.files[0].name)}")
    return column.fault(group, many, f"type {said(found)}{sample.words}", expected, f"{remedy}.")


def _without(column: Column) -> str:
    own = column.name in REQUIRED[column.table]
    return "" if own else f" Or remove {column.name} from the feature config."


def _lossy(
    connection: duckdb.DuckDBPyConnection,
    column: Column,
    group: Group,
    found: str,
    conversion: Conversion,
    example: str,
) -> InputError | None:
    """The fault where one value at least would not survive the conversion."""
    bad = values.matching(connection, column.name, conversion.bad, group)
    if bad is None:
        return None
    shown = f"type {said(found)} with {bad}, {conversion.why}"
    place = Group(group.types, group.folders, group.names, [bad.file])
    return column.fault(place, True, shown, column.kind + example, "Pass files in which these values are right.")


def _numbers_in_disguise(
    connection: duckdb.DuckDBPyConnection, column: Column, by_type: Mapping[str | None, Group]
) -> list[InputError]:
    """Where a file has a text as a number, texts must be written as that number is: else one id becomes two."""
    numbers = [found for found in by_type if found and values.is_number(found)]
    if not numbers or "VARCHAR" not in by_type:
        return []
    group = by_type["VARCHAR"]
    bad = values.matching(connection, column.name, values.disguised(column.name), group)
    if bad is None:
        return []
    as_number = _example(by_type, column, numbers)
    expected = f"text in every file, because a number{as_number}, would become another text"
    place = Group(group.types, group.folders, group.names, [bad.file])
    remedy = "Pass files that all have it as text, written alike."
    return [column.fault(place, True, f"type string with {bad}", expected, remedy)]
