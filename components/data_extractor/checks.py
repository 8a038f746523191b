"""What must hold for the two tables, checked before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass

from components.common import schema
from components.common.errors import InputError
from components.data_extractor.sources import PRODUCT_COLUMNS, PURCHASE_COLUMNS, Source, Table

# An integer column can be read as a float; nothing else is converted silently.
ACCEPTED = {"float": ("float", "int64")}
REQUIRED: dict[Table, dict[str, str]] = {"purchases": PURCHASE_COLUMNS, "products": PRODUCT_COLUMNS}

# The rows that a check looks at. Joined and numbered here, so that a condition is a plain expression.
FRAMES: dict[Table, str] = {
    "products": """
        SELECT products.*, ROW_NUMBER() OVER (PARTITION BY product_id ORDER BY art_name) AS copy_number
        FROM {products} AS products
    """,
    "purchases": """
        SELECT purchases.*, known.product_id AS known_product
        FROM {purchases} AS purchases
        LEFT JOIN (SELECT DISTINCT product_id FROM {products}) AS known ON purchases.product_id = known.product_id
    """,
}
EXAMPLE_COLUMNS: dict[Table, tuple[str, ...]] = {
    "products": (schema.PRODUCT, schema.NAME),
    "purchases": (schema.CUSTOMER, schema.PRODUCT, schema.TIMESTAMP, "revenue"),
}


@dataclass(frozen=True)
class Check:
    """Rows of `table` for which the SQL `condition` on `field` holds are bad."""

    table: Table
    field: str
    condition: str
    found: str
    expected: str


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


def check_rows(source: Source, described: Mapping[Table, str], extras: Mapping[Table, Mapping[str, str]]) -> None:
    """Raises InputError at the first check that finds bad rows: how many there are, and one of them.

    One query per table, which returns one row.
    """
    for table in FRAMES:
        checks = _checks(table, {**REQUIRED[table], **extras[table]})
        counts = ", ".join(f"COUNTIF({check.condition}) AS bad_{i}" for i, check in enumerate(checks))
        query = f"SELECT COUNT(*) AS row_count, {counts} FROM ({FRAMES[table]})"  # noqa: S608  no name here is free text
        (result,) = source.rows(query, {})
        if not result["row_count"]:
            raise InputError(described[table], "no rows", "at least one", f"Pass {table} with rows.")
        for i, check in enumerate(checks):
            if result[f"bad_{i}"]:
                raise _finding(source, described[table], check, result[f"bad_{i}"])


def _checks(table: Table, columns: Mapping[str, str]) -> list[Check]:
    checks = []
    for name, kind in columns.items():
        checks.append(Check(table, name, f"`{name}` IS NULL", "without a value", "a value in every row"))
        if kind == "float":
            number = f"CAST(`{name}` AS FLOAT64)"
            condition = f"IS_NAN({number}) OR IS_INF({number})"
            checks.append(Check(table, name, condition, "with NaN or infinity", "finite numbers"))
    if table == "products":
        return [*checks, Check(table, schema.PRODUCT, "copy_number > 1", "that repeat an id", "each id once")]
    unknown = f"{schema.PRODUCT} IS NOT NULL AND known_product IS NULL"
    return [
        *checks,
        Check(table, "revenue", "revenue < 0", "with a negative value", "values of 0 or more"),
        Check(table, schema.PRODUCT, unknown, "of a product without metadata", "only ids of the products table"),
    ]


def _finding(source: Source, where: str, check: Check, count: int) -> InputError:
    columns = ", ".join(f"`{name}`" for name in dict.fromkeys((*EXAMPLE_COLUMNS[check.table], check.field)))
    bad_rows = f"SELECT {columns} FROM ({FRAMES[check.table]}) WHERE {check.condition}"  # noqa: S608  no name here is free text
    (example,) = source.rows(f"{bad_rows} ORDER BY {columns} LIMIT 1", {})
    shown = ", ".join(f"{name} {'NULL' if value is None else value}" for name, value in example.items())
    return InputError(
        f"{where}, field {check.field}",
        f"{count:,} {'row' if count == 1 else 'rows'} {check.found}, such as {shown}",
        check.expected,
        f"Correct the data, or pass a view without these rows as {check.table}.",
    )
