"""The figures of the data report: a handful of queries over the stored Examples, dropped rows included."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from components.common import schema
from components.common.errors import InputError
from components.data_extractor.sources import LIST, Source, cast

FAULTS = ("null_id", "no_metadata", "non_positive_revenue", "duplicate")
REASONS = (*FAULTS, "not_in_catalogue")
UNPLACED = "unplaced"  # rows without what places them in a split: no time, or in a random split no id
IN_SPLITS = ", ".join(f"COUNTIF(split = '{name}') AS rows_{name}" for name in schema.SPLITS)
REVENUE_BIN = 10  # revenue bins a factor e: each is about a tenth wide

COUNTS = """
SELECT
  split,
  dropped,
  COUNT(*) AS row_count,
  SUM(copies) AS source_rows,
  MIN(`timestamp`) AS first_timestamp,
  MAX(`timestamp`) AS last_timestamp
FROM {examples}
GROUP BY split, dropped
"""
REVENUE = f"""
SELECT CAST(FLOOR(LN(paid) * {REVENUE_BIN}) AS INT64) AS bin, COUNT(*) AS row_count
FROM {{examples}}
WHERE dropped IS NULL
GROUP BY 1
ORDER BY 1
"""  # noqa: S608  a constant of our own


def counts(source: Source) -> list[dict[str, Any]]:
    """Per split and reason (None for kept rows): row_count, source_rows with copies, first and last timestamp."""
    return source.rows(COUNTS, {})


def splits(counted: Iterable[Mapping[str, Any]], min_purchases: int) -> dict[str, dict[str, int]]:
    """Kept rows and time range per split.

    Raises:
        InputError: a split without rows.
    """
    kept = {row["split"]: row for row in counted if row["dropped"] is None}
    if not kept:
        remedy = "Lower min_purchases, or give more data; a bad product table or revenue column empties it too."
        raise InputError("catalogue", "no product", f"products with at least {min_purchases} purchases", remedy)
    for name in schema.SPLITS:
        if name not in kept:
            found = {other: kept[other]["row_count"] if other in kept else 0 for other in schema.SPLITS}
            listed = ", ".join(f"{other} {rows:,}" for other, rows in found.items())
            remedy = "Change train_share and validation_share, or give more data."
            raise InputError(f"split {name}", f"no rows ({listed})", "rows in every split", remedy)
    return {
        name: {
            "rows": kept[name]["row_count"],
            "first_timestamp": kept[name]["first_timestamp"],
            "last_timestamp": kept[name]["last_timestamp"],
        }
        for name in schema.SPLITS
    }


def fates(counted: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """What became of the rows read: per split, and `unplaced`, {"read", "kept", and every reason}."""
    result = {name: dict.fromkeys(("read", "kept", *REASONS), 0) for name in (*schema.SPLITS, UNPLACED)}
    for row in counted:
        fate = result[row["split"] or UNPLACED]
        read, rows = int(row["source_rows"]), row["row_count"]
        fate["read"] += read
        if row["dropped"] is None:
            fate["kept"] += rows
            fate["duplicate"] += read - rows
        else:
            fate[row["dropped"]] += read
    return result


def catalogue(source: Source, described: Mapping[str, str]) -> list[dict[str, Any]]:
    """The kept products, sorted by id.

    Args:
        source: With the stored Examples.
        described: The product's columns in an Example, with their types.

    Returns:
        Rows of product_id, those columns, row_count of the kept rows, and the same per split.
    """
    casts = ", ".join(cast(name, kind) for name, kind in described.items())
    listed = ", ".join(f"described.`{name}`" for name in described)
    return source.rows(
        f"SELECT sold.*, {listed} FROM ("  # noqa: S608  no free text
        f"SELECT {schema.PRODUCT}, COUNT(*) AS row_count, {IN_SPLITS} "
        f"FROM {{examples}} WHERE dropped IS NULL GROUP BY {schema.PRODUCT}) AS sold "
        f"INNER JOIN (SELECT CAST({schema.PRODUCT} AS INT64) AS described_id, {casts} FROM {{products}}) AS described "
        f"ON sold.{schema.PRODUCT} = described_id ORDER BY sold.{schema.PRODUCT}",
        {},
    )


def features(
    source: Source, columns: Mapping[str, str], products: list[dict[str, Any]], described: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Per column of an Example its type, kept rows without a value, and distinct values.

    Args:
        source: With the stored Examples.
        columns: Those of an Example, with their types.
        products: As `catalogue` gives them.
        described: The columns that belong to the product: their values are counted there, where there are fewer.
    """
    described = {*described, schema.PRODUCT}
    own = [name for name in columns if name not in described]
    counted = ", ".join(
        f"COUNTIF(`{name}` IS NULL) AS nulls_{i}, COUNT(DISTINCT {_value(name, columns[name])}) AS distinct_{i}"
        for i, name in enumerate(own)
    )
    (row,) = source.rows(f"SELECT {counted} FROM {{examples}} WHERE dropped IS NULL", {})  # noqa: S608  no free text
    found = {name: (row[f"nulls_{i}"], row[f"distinct_{i}"]) for i, name in enumerate(own)}
    for name in described:
        values = [(product[name], product["row_count"]) for product in products]
        nulls = sum(rows for value, rows in values if value is None)
        found[name] = nulls, len({str(value) for value, _ in values if value is not None})
    return {name: {"type": kind, "nulls": found[name][0], "distinct": found[name][1]} for name, kind in columns.items()}


def _value(name: str, kind: str) -> str:
    return f"TO_JSON_STRING(`{name}`)" if kind == LIST else f"`{name}`"


def unseen(source: Source, products: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    """What training has not seen: per later split, for customers and products, how many there are and how many new.

    Returns:
        {split: {"customers": {"distinct", "unseen", "rows_of_unseen"}, "products": the same}}.
    """
    later = schema.SPLITS[1:]
    sums = ", ".join(
        f"COUNTIF(rows_{name} > 0) AS distinct_{name}, COUNTIF(rows_{name} > 0 AND rows_train = 0) AS unseen_{name}, "
        f"SUM(IF(rows_train = 0, rows_{name}, 0)) AS rows_{name}"
        for name in later
    )
    (customers,) = source.rows(
        f"SELECT {sums} FROM (SELECT {schema.CUSTOMER}, {IN_SPLITS} "  # noqa: S608  no free text
        f"FROM {{examples}} WHERE dropped IS NULL GROUP BY {schema.CUSTOMER})",
        {},
    )
    result = {}
    for name in later:
        bought = [product for product in products if product[f"rows_{name}"]]
        new = [product for product in bought if not product["rows_train"]]
        result[name] = {
            "customers": {
                "distinct": customers[f"distinct_{name}"],
                "unseen": customers[f"unseen_{name}"],
                "rows_of_unseen": int(customers[f"rows_{name}"]),
            },
            "products": {
                "distinct": len(bought),
                "unseen": len(new),
                "rows_of_unseen": sum(product[f"rows_{name}"] for product in new),
            },
        }
    return result


def profile(source: Source, products: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """What the next run compares itself with: kept rows per category, and per bin of a purchase's revenue.

    Bin b holds the revenues from exp(b / REVENUE_BIN) to exp((b + 1) / REVENUE_BIN).
    """
    categories: Counter[str] = Counter()
    for product in products:
        categories[product[schema.CATEGORY] or ""] += product["row_count"]
    return {
        "categories": dict(sorted(categories.items())),
        "revenue_bins": {str(row["bin"]): row["row_count"] for row in source.rows(REVENUE, {})},
    }
