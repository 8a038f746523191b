"""What must hold for the two tables and for the Examples made of them, checked before anything is written."""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.common import schema
from components.common.errors import InputError
from components.data_extractor import faults, times
from components.data_extractor.sources import REQUIRED, Source, Table, wanted

NUMBERS = ("int64", "float")
LARGEST = 3.4e38  # an Example holds float32

PRODUCTS = f"""
SELECT
  COUNT(*) AS row_count,
  COUNTIF(product_id IS NULL) AS without_id,
  COUNTIF(product_id = {schema.NO_PRODUCT}) AS no_product,
  COUNT(product_id) - COUNT(DISTINCT product_id) AS repeated,
  (
    SELECT MIN(product_id)
    FROM (SELECT product_id FROM {{products}} GROUP BY product_id HAVING COUNT(*) > 1)
  ) AS example
FROM {{products}}
"""  # noqa: S608  a constant of our own


def check_tables(
    source: Source, described: Mapping[Table, str], extras: Mapping[Table, Mapping[str, str]]
) -> list[str]:
    """Selects the columns that are read, and looks at the product table.

    Args:
        source: The tables.
        described: What to call them in an error.
        extras: The extra columns of the feature config.

    Returns:
        In words, what is read in another type than it has.

    Raises:
        InputError: all faults of columns, files and product ids at once.
    """
    purchases, products = (source.select(table, wanted(table, extras)) for table in REQUIRED)
    of_rows = [] if products.faults else _products(source, described["products"])
    faults.refuse([*purchases.faults, *products.faults, *of_rows])
    conversions = [*purchases.conversions, *products.conversions]
    for line in conversions:
        print(line, file=sys.stderr)
    return conversions


def _products(source: Source, where: str) -> list[InputError]:
    """What is wrong unless the product table has rows, and every product once: else purchases would double."""
    (found,) = source.rows(PRODUCTS, {})
    if not found["row_count"]:
        return [InputError(where, "no rows", "at least one", "Pass products with rows.")]
    field = f"{where}, field {schema.PRODUCT}"
    wrong = []
    if found["without_id"]:
        remedy = _without(source, f"{schema.PRODUCT} IS NOT NULL")
        wrong.append(InputError(field, f"{_rows(found['without_id'])} without a value", "a value in every row", remedy))
    if found["no_product"]:
        remedy = _without(source, f"{schema.PRODUCT} <> {schema.NO_PRODUCT}")
        expected = "other ids: it stands for no product wherever a list of products is filled up"
        wrong.append(InputError(field, f"the id {schema.NO_PRODUCT}", expected, remedy))
    if found["repeated"]:
        shown = f"{_rows(found['repeated'])} that repeat an id, such as {found['example']}"
        remedy = _without(source, f"TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY {schema.PRODUCT}) = 1")
        wrong.append(InputError(field, shown, "each id once", remedy))
    return wrong


def _without(source: Source, kept: str) -> str:
    return source.remedy("products", "without these rows", f"SELECT * FROM {{products}} WHERE {kept}")  # noqa: S608


def check_times(source: Source, described: Mapping[Table, str], counted: Iterable[Mapping[str, Any]]) -> None:
    """Says when the purchases were, and raises InputError where they cannot have been.

    Args:
        source: With the stored Examples.
        described: What to call the tables in an error.
        counted: As `measure.counts` gives them. Rows outside the catalogue count too: they have a part in the split.
    """
    faultless = [row for row in counted if row["dropped"] in (None, "not_in_catalogue")]
    if not faultless:
        return
    first, last = min(row["first_timestamp"] for row in faultless), max(row["last_timestamp"] for row in faultless)
    print(f"Purchases from {times.in_words(first)} to {times.in_words(last)}, in UTC", file=sys.stderr)
    latest, wrong = times.latest(), []
    if first < times.EARLIEST:
        wrong.append(_out_of_range(source, described["purchases"], f"< {times.EARLIEST}", "before 1990"))
    if last > latest:
        wrong.append(_out_of_range(source, described["purchases"], f"> {latest}", "later than tomorrow"))
    faults.refuse(wrong)


def _out_of_range(source: Source, where: str, condition: str, words: str) -> InputError:
    time = schema.TIMESTAMP
    rows = (
        f"FROM {{examples}} WHERE COALESCE(dropped, 'not_in_catalogue') = 'not_in_catalogue' AND `{time}` {condition}"
    )
    (bad,) = source.rows(f"SELECT COUNT(*) AS bad, MIN(`{time}`) AS smallest, MAX(`{time}`) AS largest {rows}", {})
    mistaken = times.mistaken(bad["smallest"], bad["largest"])
    place = source.place(bad["smallest"], bad["largest"])
    ends = f"from {times.in_words(bad['smallest'])} to {times.in_words(bad['largest'])}"
    example = example_of(source, rows, [schema.CUSTOMER, schema.PRODUCT, time])
    found = f"{_rows(bad['bad'])} {words}{place}, {ends}, such as {example}" + (f"; {mistaken}" if mistaken else "")
    remedy = times.REMEDY if mistaken else source.remedy("purchases", "without these rows")
    return InputError(f"{where}, field {time}", found, "purchases from 1990 to tomorrow", remedy)


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
    found: list[InputError | None] = []
    for name, kind in extras["purchases"].items():
        if kind in NUMBERS:
            finite = f" OR IS_NAN(`{name}`) OR ABS(`{name}`) > {LARGEST}" if kind == "float" else ""
            bad = f"`{name}` IS NULL{finite}"
            count, example = count_bad(source, bad, [schema.CUSTOMER, schema.PRODUCT, schema.TIMESTAMP, name])
            found.append(_numbers(source, described, "purchases", name, count, example))
    limit = {"int64": math.inf, "float": LARGEST}
    for name, kind in extras["products"].items():
        if kind in NUMBERS:
            wrong = [key for key, row in products.items() if row[name] is None or not abs(row[name]) <= limit[kind]]
            shown = {schema.PRODUCT: wrong[0], name: products[wrong[0]][name]} if wrong else {}
            found.append(_numbers(source, described, "products", name, len(wrong), in_words(shown)))
    faults.refuse([fault for fault in found if fault])


def _numbers(
    source: Source, described: Mapping[Table, str], table: Table, name: str, count: int, example: str
) -> InputError | None:
    if not count:
        return None
    found = f"{_rows(count)} without a finite number, such as {example}"
    filled = f"SELECT * REPLACE (IF(ABS(`{name}`) < {LARGEST}, `{name}`, 0) AS `{name}`) FROM {{{table}}}"  # noqa: S608
    remedy = source.remedy(table, "in which it is filled", filled)
    return InputError(f"{described[table]}, field {name}", found, "a number in every row", remedy)


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
