"""What a source of purchases is, and the SQL that every source runs.

SQL is written once, in BigQuery's dialect: `{purchases}` and `{products}` stand for the tables, `@name` for values.
"""

import importlib.resources
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, Self, get_args, runtime_checkable

import pyarrow as pa

from components.common import schema
from components.common.checks import TABLE
from components.common.errors import InputError
from components.common.feature_config import FeatureConfig, Tower

SQL_TYPES = {"string": "STRING", "int64": "INT64", "float": "FLOAT64"}
LIST = "list<string>"
# What the queries call columns of their own.
RESERVED = {
    *("split", "dropped", "copies", "paid", "fault", "place", "moment", "known_product"),
    *("validation_start", "test_start", "catalogue_end"),
    *("described_id", "row_count", "rows_train", "rows_validation", "rows_test"),
}
PURCHASE_COLUMNS = {
    schema.CUSTOMER: "string",
    schema.PRODUCT: "int64",
    "revenue": "float",
    "city": "string",
    schema.TIMESTAMP: "timestamp",
}
PRODUCT_COLUMNS = {name: schema.EXAMPLE[name] for name in (schema.PRODUCT, *schema.PRODUCT_COLUMNS)}
Table = Literal["purchases", "products"]
REQUIRED: dict[Table, dict[str, str]] = {"purchases": PURCHASE_COLUMNS, "products": PRODUCT_COLUMNS}
# An integer column can be read as a float; nothing else is converted silently.
ACCEPTED = {"float": ("float", "int64")}
Step = Literal["judged", "examples"]  # the two queries, each in a file of its name
STEPS: tuple[Step, ...] = get_args(Step)


@runtime_checkable  # Beam checks what its functions take
class Stream(Protocol):
    """A part of the query's result; pickled and sent to the worker that reads it, if need be more than once."""

    def read(self) -> Iterator[pa.RecordBatch]: ...


class Selected(NamedTuple):
    """What a look at the columns has found.

    Attributes:
        faults: A column that is not there, or cannot be read in the type that is asked for; and whatever else keeps
            the table from being read.
        conversions: In words, what is read in another type than it has.
    """

    faults: list[InputError]
    conversions: list[str]


class Source(Protocol):
    """Purchases and products in one engine. Leaving the context removes what the source stored for a while."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def select(self, table: Table, wanted: Mapping[str, str]) -> Selected:
        """Makes these columns, in these types, the table that the queries read.

        Args:
            table: Which one.
            wanted: The columns with their types: "string", "int64", "float", "list<string>", "timestamp".
        """
        ...

    def remedy(self, table: Table, change: str, sql: str = "") -> str:
        """How a user passes a table that differs from the one passed.

        Args:
            table: Which one.
            change: How it differs: "without these rows".
            sql: A query, in BigQuery's dialect, that makes it of {purchases} or {products}.
        """
        ...

    def place(self, first: int, last: int) -> str:
        """In which files the purchases between two seconds are, to go on with; "" where there are no files."""
        ...

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows of a small result."""
        ...

    def materialise(self, name: Step, sql: str, parameters: Mapping[str, Any]) -> None:
        """Runs a query and stores its result, which later queries can ask for as {name}."""
        ...

    def streams(self, columns: Sequence[str]) -> Sequence[Stream]:
        """These columns of {examples}, of the rows that are not dropped; every row is in exactly one stream.

        No query may follow.
        """
        ...


def kind(purchases: str, products: str) -> Literal["parquet", "bigquery"]:
    """Which sort of source the two parameters name.

    Raises:
        InputError: neither a table name nor a path, or one of each.
    """
    found = [_kind("purchases", purchases), _kind("products", products)]
    if found[0] != found[1]:
        raise InputError(
            f"products {products}",
            f"a {found[1]} source beside purchases {purchases} from {found[0]}",
            "both of the same sort",
            "Load one of the tables beside the other.",
        )
    return found[0]


def _kind(table: Table, name: str) -> Literal["parquet", "bigquery"]:
    if name.endswith((".parquet", "/")) or "/" in name:
        return "parquet"
    if TABLE.fullmatch(name):
        return "bigquery"
    raise InputError(
        table,
        repr(name),
        "a BigQuery table project.dataset.table, or the path of Parquet files, local or gs://",
        "Give the plain name, without quotes, backticks or SQL.",
    )


def extra_columns(config: FeatureConfig) -> dict[Table, dict[str, str]]:
    """The columns of the feature config that every Example does not have anyway: {table: {name: type}}.

    Raises:
        InputError: a column that is read with two types, or whose name is taken.
    """
    extras: dict[Table, dict[str, str]] = {"purchases": {}, "products": {}}
    taken = {name.lower() for name in schema.EXAMPLE} | RESERVED
    towers: tuple[tuple[Table, Tower], ...] = ("purchases", config.query), ("products", config.candidate)
    for table, tower in towers:
        readers: list[tuple[str, Mapping[str, str]]]
        readers = [(f"feature {entry.key}", entry.columns) for entry in tower.features]
        for reader, read in [*readers, ("carried", tower.carried)]:
            for name, column_type in read.items():
                expected = schema.EXAMPLE.get(name) or extras[table].get(name)
                if expected and expected != column_type:
                    found, wanted = f"{reader}, which reads it as {column_type}", f"a column of type {expected}"
                    raise InputError(f"feature config, column {name}", found, wanted, "Choose another kind.")
                if not expected and name.lower() in taken:
                    remedy = "Give the column a name of its own, in the table and in the feature config."
                    raise InputError(f"feature config, column {name}", "a name in use", "a free name", remedy)
                if not expected:
                    extras[table][name] = column_type
                    taken.add(name.lower())
    return extras


def columns(extras: Mapping[Table, Mapping[str, str]]) -> dict[str, str]:
    """The columns of an Example with their types, in the order of the query's result."""
    return {**schema.EXAMPLE, **extras["purchases"], **extras["products"]}


def query(step: Step, extras: Mapping[Table, Mapping[str, str]]) -> str:
    """One of the two queries with the extra columns; the tables' names are still to be filled in."""
    bought, described = extras["purchases"], extras["products"]
    places = {
        # Lists cannot be grouped by; as JSON texts they can.
        "typed_extras": [f"{cast(name, kind)}," for name, kind in bought.items()]
        + [
            f"TO_JSON_STRING(COALESCE(`{name}`, [])) AS `{_key(name, kind)}`,"
            for name, kind in bought.items()
            if kind == LIST
        ],
        "purchase_extras": [
            f"ANY_VALUE(`{name}`) AS `{name}`," if kind == LIST else f"`{name}`," for name, kind in bought.items()
        ],
        "grouped_extras": [f"`{_key(name, kind)}`," for name, kind in bought.items()],
        "product_extras": [f"{cast(name, kind)}," for name, kind in described.items()],
        "extras": [f"assigned.`{name}`," for name in bought] + [f"products.`{name}`," for name in described],
    }
    sql = importlib.resources.files(__package__).joinpath(f"{step}.sql").read_text(encoding="utf-8")
    for place, lines in places.items():
        sql = sql.replace(f"{{{place}}}", "\n      ".join(lines))
    return sql


def cast(name: str, column_type: str) -> str:
    """SQL that selects a column in its type; a missing list is an empty one, as BigQuery stores it."""
    if column_type == LIST:
        return f"COALESCE(`{name}`, []) AS `{name}`"
    return f"CAST(`{name}` AS {SQL_TYPES[column_type]}) AS `{name}`"


def _key(name: str, column_type: str) -> str:
    """What a column is grouped by."""
    return f"{name}_as_json" if column_type == LIST else name


def wanted(table: Table, extras: Mapping[Table, Mapping[str, str]]) -> dict[str, str]:
    """The columns that are read of a table, with their types."""
    return {**REQUIRED[table], **extras[table]}


def with_names(sql: str, names: Mapping[str, str]) -> str:
    """Fills in {purchases}, {products}, {judged} and {examples}."""
    for name, table in names.items():
        sql = sql.replace(f"{{{name}}}", f"`{table}`")
    return sql
