"""The data report: what was read and dropped, what the features hold, what is new, and how far the data has moved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from components.common import page, schema, storage
from components.common.errors import InputError
from components.data_extractor import checks, drift, measure
from components.data_extractor import thresholds as limits
from components.data_extractor.sources import Source, Table, columns

FORMAT_VERSION = 1
REPORT, PAGE = "data_report.json", "data_report.html"
LABELS = {
    "null_id": "without customer, product or time",
    "no_metadata": "of a product that the product table lacks",
    "non_positive_revenue": "with a revenue that is not above 0",
    "duplicate": "equal to another row in every column that is read",
    "not_in_catalogue": "of a product outside the catalogue",
}
TEMPLATE = Path(__file__).with_name("data_report.html.j2")


class Measured(NamedTuple):
    """What one look at the stored Examples gives.

    Attributes:
        splits: Kept rows and time range per split, for metadata.json.
        products: The product lookup: {"<product_id>": {column: value}}, sorted by id.
        profile: What the next run measures its drift against.
        report: data_report.json.
    """

    splits: dict[str, dict[str, int]]
    products: dict[str, dict[str, Any]]
    profile: dict[str, dict[str, int]]
    report: dict[str, Any]


def measured(
    source: Source,
    described: Mapping[Table, str],
    extras: Mapping[Table, Mapping[str, str]],
    min_purchases: int,
    previous: dict[str, Any] | None,
    allowed: limits.Thresholds,
) -> Measured:
    """Measures the stored Examples and holds the figures against the thresholds.

    Args:
        source: With the stored Examples.
        described: What to call the tables in an error.
        extras: The extra columns of the feature config.
        min_purchases: As the query had it, for an error.
        previous: An earlier run's metadata.json, or None.
        allowed: The thresholds.

    Raises:
        InputError: no rows, none in a split, or findings above their thresholds.
    """
    counted = measure.counts(source)
    fates = measure.fates(counted)
    rows = {key: sum(fate[key] for fate in fates.values()) for key in fates["train"]}
    if not rows["read"]:
        raise InputError(described["purchases"], "no rows", "at least one", "Pass purchases with rows.")
    checks.check_times(source, described, counted)
    if not all(fates[name]["kept"] for name in schema.SPLITS):  # then what was dropped may be the reason
        _check(source, described["purchases"], limits.findings(allowed, {"rows": rows}))
    splits = measure.splits(counted, min_purchases)
    of_product = {name: schema.EXAMPLE[name] for name in schema.PRODUCT_COLUMNS} | dict(extras["products"])
    sold = measure.catalogue(source, of_product)
    profile = measure.profile(source, sold)
    products = {
        str(row[schema.PRODUCT]): {name: _present(row[name], kind) for name, kind in of_product.items()} for row in sold
    }
    report: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "source": dict(described),
        "rows": rows,
        "splits": {name: {**fate, **_times(splits.get(name, {}))} for name, fate in fates.items()},
        "features": measure.features(source, columns(extras), sold, of_product),
        "unseen": measure.unseen(source, sold),
    }
    if previous is not None:
        report["drift"] = drift.compare(previous, products, profile)
    findings = limits.findings(allowed, report)
    _check(source, described["purchases"], findings)
    report["findings"] = [finding._asdict() for finding in findings]
    return Measured(splits, products, profile, report)


def write(folder: str, report: dict[str, Any]) -> None:
    """Writes data_report.json, and the same as a page."""
    storage.write_json(storage.join(folder, REPORT), report)
    storage.write_text(storage.join(folder, PAGE), render(report))


def render(report: dict[str, Any]) -> str:
    """The page as text."""
    return page.render(TEMPLATE, report=report, labels=LABELS, unplaced=measure.UNPLACED)


def _times(split: Mapping[str, int]) -> dict[str, int]:
    return {name: split[name] for name in ("first_timestamp", "last_timestamp") if name in split}


def _check(source: Source, where: str, findings: list[limits.Finding]) -> None:
    limits.check(findings, where, lambda threshold: _example(source, threshold))


def _example(source: Source, threshold: str) -> str:
    """One of the rows that a threshold counts, in words; "" where it counts no rows."""
    if threshold not in measure.FAULTS:
        return ""
    condition = "copies > 1" if threshold == "duplicate" else f"dropped = '{threshold}'"
    shown = [schema.CUSTOMER, schema.PRODUCT, schema.TIMESTAMP, "paid"]
    return checks.example_of(source, f"FROM {{examples}} WHERE {condition}", shown)


def _present(value: Any, kind: str) -> Any:
    """A missing text travels as an empty one."""
    return "" if value is None and kind == "string" else value
