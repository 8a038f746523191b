"""Nothing in a row may come from after it: checked on the finished Examples, by other means than they were made."""

from collections.abc import Mapping
from typing import Any

from components.common import schema
from components.common.errors import InputError
from components.common.feature_config import FeatureConfig, TemporalFeature
from components.data_extractor import checks, faults, times
from components.data_extractor.sources import Source

TOLERANCE = 1e-6  # revenue is a float64; sums of the same decimals differ less

# Revenue must grow from one purchase to the next by exactly what was paid in training in between, starting at 0.
AT_PURCHASE = f"""
WITH
  baskets AS (
    SELECT
      cust_person_id,
      `timestamp`,
      MIN(revenue) AS smallest,
      MAX(revenue) AS largest,
      SUM(IF(split = 'train', paid, 0)) AS paid
    FROM {{examples}}
    WHERE dropped IS NULL
    GROUP BY cust_person_id, `timestamp`
  ),
  steps AS (
    SELECT
      cust_person_id,
      `timestamp`,
      smallest,
      largest,
      COALESCE(LAG(largest) OVER (PARTITION BY cust_person_id ORDER BY `timestamp`), 0)
      + COALESCE(LAG(paid) OVER (PARTITION BY cust_person_id ORDER BY `timestamp`), 0) AS expected
    FROM baskets
  )
SELECT cust_person_id, `timestamp`, largest AS revenue, expected
FROM steps
WHERE ABS(largest - expected) > {TOLERANCE} * (1 + expected) OR ABS(smallest - expected) > {TOLERANCE} * (1 + expected)
ORDER BY cust_person_id, `timestamp`
LIMIT 1
"""  # noqa: S608  a constant of our own
# In all rows of a customer the same: what was paid in training.
IN_TRAINING = f"""
SELECT cust_person_id, revenue, expected
FROM (
  SELECT
    cust_person_id,
    MIN(revenue) AS smallest,
    MAX(revenue) AS revenue,
    SUM(IF(split = 'train', paid, 0)) AS expected
  FROM {{examples}}
  WHERE dropped IS NULL
  GROUP BY cust_person_id
)
WHERE ABS(revenue - expected) > {TOLERANCE} * (1 + expected) OR ABS(smallest - expected) > {TOLERANCE} * (1 + expected)
ORDER BY cust_person_id
LIMIT 1
"""  # noqa: S608  a constant of our own


def check_products(described: str, config: FeatureConfig, products: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises InputError where a product's moment is not in seconds; one of a purchase would lie after the purchase.

    Args:
        described: What to call the product table.
        config: The feature config.
        products: The product lookup.
    """
    wrong = []
    for entry in config.candidate.features:
        if isinstance(entry, TemporalFeature):
            late = [(row[entry.name], key) for key, row in products.items() if row[entry.name] > times.LAST]
            if late:
                (first, key), (last, _) = min(late), max(late)
                mistaken = times.mistaken(first, last)
                found = f"{len(late):,} moments beyond the year 9999, such as {first} of product {key}"
                found += f"; {mistaken}" if mistaken else ""
                where, remedy = f"{described}, field {entry.name}", "Pass products in which it is in seconds."
                wrong.append(InputError(where, found, "seconds since 1970", remedy))
    faults.refuse(wrong)


def check(
    source: Source, config: FeatureConfig, splits: Mapping[str, Mapping[str, Any]], method: str, revenue: str
) -> None:
    """Raises InputError where a row knows something of its future.

    Args:
        source: With the stored Examples.
        config: The feature config; no `temporal` feature of a purchase may lie after the purchase.
        splits: Per split "first_timestamp" and "last_timestamp".
        method: temporal or random; the splits of a temporal one must follow each other.
        revenue: "purchase" where a row's revenue is that before it, "training" where it is that of the whole
            training period.
    """
    if method == "temporal":
        _check_order(splits)
    _check_revenue(source, revenue)
    for entry in config.query.features:
        if isinstance(entry, TemporalFeature) and entry.name != schema.TIMESTAMP:
            _check_moment(source, entry.name)


def _check_order(splits: Mapping[str, Mapping[str, Any]]) -> None:
    for earlier, later in (("train", "validation"), ("validation", "test")):
        last, first = splits[earlier]["last_timestamp"], splits[later]["first_timestamp"]
        if last >= first:
            found = f"a {earlier} row at {last} and a {later} row at {first}"
            remedy = "Correct the split in examples.sql."
            raise InputError("temporal split", found, f"every {earlier} row before every {later} row", remedy)


def _check_revenue(source: Source, revenue: str) -> None:
    leaks = source.rows(AT_PURCHASE if revenue == "purchase" else IN_TRAINING, {})
    if leaks:
        remedy = "Count only training purchases before the row, in examples.sql."
        expected = "nothing from after a row, and nothing from outside the training split"
        raise InputError("field revenue, a leak", checks.in_words(leaks[0]), expected, remedy)


def _check_moment(source: Source, name: str) -> None:
    shown = [schema.CUSTOMER, schema.PRODUCT, schema.TIMESTAMP, name]
    count, example = checks.count_bad(source, f"`{name}` > `{schema.TIMESTAMP}`", shown)
    if count:
        remedy = f"Give each purchase the {name} that was known then, in seconds since 1970, or drop the feature."
        found = f"{count:,} purchases that know a later moment, such as {example}"
        raise InputError(f"field {name}, a leak", found, "no moment after the purchase", remedy)
