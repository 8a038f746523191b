"""What a source of purchases is, and the SQL that every source runs.

SQL is written once, in BigQuery's dialect: `{purchases}` and `{products}` stand for the tables, `@name` for values.
"""

import importlib.resources
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, Self, runtime_checkable

import pyarrow as pa

from components.common import schema
from components.common.errors import InputError
from components.common.feature_config import FeatureConfig

TABLE = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]\.[A-Za-z0-9_]{1,1024}\.[A-Za-z0-9_-]{1,1024}")
SQL_TYPES = {"string": "STRING", "int64": "INT64", "float": "FLOAT64"}
PURCHASE_COLUMNS = {
    schema.CUSTOMER: "string",
    schema.PRODUCT: "int64",
    "revenue": "float",
    "city": "string",
    schema.TIMESTAMP: "timestamp",
}
PRODUCT_COLUMNS = {name: schema.EXAMPLE[name] for name in (schema.PRODUCT, *schema.PRODUCT_COLUMNS)}
Table = Literal["purchases", "products"]


@runtime_checkable  # Beam checks what its functions take
class Stream(Protocol):
    """A part of the query's result; pickled and sent to the worker that reads it, if need be more than once."""

    def read(self) -> Iterator[pa.RecordBatch]: ...


class Source(Protocol):
    """Purchases and products in one engine. Leaving the context removes what the source stored for a while."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def columns(self, table: Table) -> dict[str, str]:
        """Column name to "string", "int64", "float" or "timestamp", or to the engine's own name of another type."""
        ...

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows of a small result."""
        ...

    def materialise(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Stream]:
        """Runs the query once and stores its result, which `rows` can then ask for as {examples}."""
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
    taken = {name.lower() for name in schema.EXAMPLE} | {"split", "place"}
    for table, tower in (("purchases", config.query), ("products", config.candidate)):
        for entry in tower.features:
            for name, column_type in entry.columns.items():
                expected = schema.EXAMPLE.get(name) or extras[table].get(name)  # type: ignore[index]
                if expected and expected != column_type:
                    found, remedy = f"feature {entry.key}, which reads it as {column_type}", "Choose another kind."
                    raise InputError(f"feature config, column {name}", found, f"a feature of {expected}", remedy)
                if not expected and name.lower() in taken:
                    remedy = "Give the column a name of its own in a view, and in the feature config."
                    raise InputError(f"feature config, column {name}", "a name in use", "a free name", remedy)
                if not expected:
                    extras[table][name] = column_type  # type: ignore[index]
                    taken.add(name.lower())
    return extras


def columns(extras: Mapping[Table, Mapping[str, str]]) -> dict[str, str]:
    """The columns of an Example with their types, in the order of the query's result."""
    return {**schema.EXAMPLE, **extras["purchases"], **extras["products"]}


def query(extras: Mapping[Table, Mapping[str, str]]) -> str:
    """query.sql with the extra columns; {purchases} and {products} are still to be filled in."""
    sql = importlib.resources.files(__package__).joinpath("query.sql").read_text(encoding="utf-8")
    for table, place in (("purchases", "{purchase_extras}"), ("products", "{product_extras}")):
        casts = [f", CAST(`{name}` AS {SQL_TYPES[kind]}) AS `{name}`" for name, kind in extras[table].items()]  # type: ignore[index]
        sql = sql.replace(place, "\n      ".join(casts))
    result = [f"assigned.`{name}`," for name in extras["purchases"]]
    result += [f"products.`{name}`," for name in extras["products"]]
    return sql.replace("{extras}", "\n  ".join(result))


def with_names(sql: str, names: Mapping[str, str]) -> str:
    """Fills in {purchases}, {products} and {examples}."""
    for name, table in names.items():
        sql = sql.replace(f"{{{name}}}", f"`{table}`")
    return sql
