"""What must hold for the two tables and for the Examples made of them, checked before anything is written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.common import schema
from components.common.errors import InputError
from components.data_extractor.sources import PRODUCT_COLUMNS, PURCHASE_COLUMNS, Source, Table

# An integer column can be read as a float; nothing else is converted silently.
ACCEPTED = {"float": ("float", "int64")}
NUMBERS = ("int64", "float")
LARGEST = 3.4e38  # an Example holds float32
REQUIRED: dict[Table, dict[str, str]] = {"purchases": PURCHASE_COLUMNS, "products": PRODUCT_COLUMNS}

PRODUCTS = """
SELECT
  COUNT(*) AS row_count,
  COUNTIF(product_id IS NULL) AS without_id,
  COUNT(product_id) - COUNT(DISTINCT product_id) AS repeated,
  (
    SELECT MIN(product_id)
    FROM (SELECT product_id FROM {products} GROUP BY product_id HAVING COUNT(*) > 1)
  ) AS example
FROM {products}
"""


def check_columns(source: Source, described: Mapping[Table, str], extras: Mapping[Table, Mapping[str, str]]) -> None:
    """Raises InputError when a table lacks a column, or has it with another type.

    Args:
        source: The tables.
        described: What to call them in an error.
        extras: The extra columns of the feature config.
    """
    for table, required in REQUIRED.items():
        found = source.columns(table)
        for name, kind in {**required, **extras[table]}.items():
            where = f"{described[table]}, column {name}"
            if name not in found:
                remedy = "Rename or add it in a view, and pass the view."
                if name in extras[table]:
                    remedy = f"Rename or add it in a view, or remove {name} from the feature config."
                raise InputError(where, f"only {', '.join(found)}", f"a column {name} of type {kind}", remedy)
            if found[name] not in ACCEPTED.get(kind, (kind,)):
                raise InputError(where, f"type {found[name]}", kind, "Cast it in a view, and pass the view.")


def check_products(source: Source, where: str) -> None:
    """Raises InputError unless the product table has rows, and every product once: else purchases would double."""
    (found,) = source.rows(PRODUCTS, {})
    if not found["row_count"]:
        raise InputError(where, "no rows", "at least one", "Pass products with rows.")
    field = f"{where}, field {schema.PRODUCT}"
    remedy = "Correct the data, or pass a view without these rows as products."
    if found["without_id"]:
        raise InputError(field, f"{_rows(found['without_id'])} without a value", "a value in every row", remedy)
    if found["repeated"]:
        shown = f"{_rows(found['repeated'])} that repeat an id, such as {found['example']}"
        raise InputError(field, shown, "each id once", remedy)


def check_numbers(
    source: Source,
    described: Mapping[Table, str],
    extras: Mapping[Table, Mapping[str, str]],
    products: Mapping[str, Mapping[str, Any]],
) -> None:
    """Raises InputError where an extra column of numbers has no finite float32: no number could stand for it.

    Missing texts, in contrast, travel as empty texts, a token like any other, and the data report counts them.

    Args:
        source: With the stored Examples.
        described: What to call the tables in an error.
        extras: The extra columns of the feature config.
        products: The product lookup.
    """
    for name, kind in extras["purchases"].items():
        if kind in NUMBERS:
            finite = f" OR IS_NAN(`{name}`) OR ABS(`{name}`) > {LARGEST}" if kind == "float" else ""
            bad = f"`{name}` IS NULL{finite}"
            count, example = count_bad(source, bad, [schema.CUSTOMER, schema.PRODUCT, schema.TIMESTAMP, name])
            _refuse_numbers(described, "purchases", name, count, example)
    limit = {"int64": math.inf, "float": LARGEST}
    for name, kind in extras["products"].items():
        if kind in NUMBERS:
            wrong = [key for key, row in products.items() if row[name] is None or not abs(row[name]) <= limit[kind]]
            shown = {schema.PRODUCT: wrong[0], name: products[wrong[0]][name]} if wrong else {}
            _refuse_numbers(described, "products", name, len(wrong), in_words(shown))


def _refuse_numbers(described: Mapping[Table, str], table: Table, name: str, count: int, example: str) -> None:
    if count:
        found = f"{_rows(count)} without a finite number, such as {example}"
        remedy = f"Fill it in a view, and pass the view as {table}."
        raise InputError(f"{described[table]}, field {name}", found, "a number in every row", remedy)


def count_bad(source: Source, condition: str, shown: Sequence[str]) -> tuple[int, str]:
    """How many kept Examples meet an SQL condition, and one of them: (count, "name value, name value")."""
    where = f"FROM {{examples}} WHERE dropped IS NULL AND ({condition})"
    (counted,) = source.rows(f"SELECT COUNT(*) AS bad {where}", {})
    return counted["bad"], example_of(source, where, shown) if counted["bad"] else ""


def example_of(source: Source, where: str, shown: Sequence[str]) -> str:
    """The first row, in the order of the shown columns, as "name value, name value"; `where` begins with FROM."""
    columns = ", ".join(f"`{name}`" for name in dict.fromkeys(shown))
    (example,) = source.rows(f"SELECT {columns} {where} ORDER BY {columns} LIMIT 1", {})
    return in_words(example)


def in_words(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {'NULL' if value is None else value}" for name, value in row.items())


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"
