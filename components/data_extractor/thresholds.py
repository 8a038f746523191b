"""Limits on what the data report finds; what lies above one stops the extraction before anything is written."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from components.common import config
from components.common.errors import InputError
from components.data_extractor.measure import FAULTS

Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Index = Annotated[float, Field(ge=0, strict=True)]


class Thresholds(BaseModel):
    """The largest value that each finding may have; 1 never stops a run. The defaults stop at a disaster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Of the rows read.
    null_id: Share = 0.1
    no_metadata: Share = 0.1
    non_positive_revenue: Share = 0.1
    duplicate: Share = 0.1
    # Of the kept rows, for every feature by itself.
    nulls: Share = 0.5
    # Of the validation and of the test split's customers and products.
    unseen_customers: Share = 1
    unseen_products: Share = 1
    # Against the previous run.
    new_products: Share = 0.5
    vanished_products: Share = 0.5
    new_categories: Share = 0.5
    vanished_categories: Share = 0.5
    psi_revenue: Index = 0.25
    psi_categories: Index = 0.25


class Finding(NamedTuple):
    """One measured value beside its limit, and the same in words."""

    threshold: str
    value: float
    limit: float
    words: str


def load(text: str) -> Thresholds:
    """Reads thresholds; those not named keep their defaults, "" keeps all.

    Args:
        text: YAML or JSON, or a path to it, local or gs://.

    Raises:
        InputError: naming the entry.
    """
    allowed = ", ".join(Thresholds.model_fields)
    return config.load(Thresholds, text or "{}", "thresholds", f"Correct this entry; there are {allowed}.")


def findings(thresholds: Thresholds, report: Mapping[str, Any]) -> list[Finding]:
    """Every value of the report, which may be unfinished, that has a threshold."""
    found = [*_rows(report), *_features(report), *_unseen(report), *_drift(report)]
    return [Finding(name, value, getattr(thresholds, name), words) for name, value, words in found]


def check(found: list[Finding], where: str, example: Callable[[str], str]) -> None:
    """Raises InputError that names every finding above its limit.

    Args:
        found: As `findings` gives them.
        where: What to call the data.
        example: Gives one of the rows that a threshold counts, in words, or "".
    """
    broken = [finding for finding in found if finding.value > finding.limit]
    if not broken:
        return
    shown = []
    for finding in broken:
        row = example(finding.threshold)
        shown.append(f"{finding.words} ({finding.threshold})" + (f", such as {row}" if row else ""))
    limits = ", ".join(dict.fromkeys(f"{finding.threshold} of at most {finding.limit:g}" for finding in broken))
    raise InputError(where, "; ".join(shown), limits, "Correct the data, or raise these thresholds.")


def _rows(report: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    rows = report["rows"]
    return [
        (reason, rows[reason] / rows["read"], f"{rows[reason]:,} of {rows['read']:,} rows dropped as {reason}")
        for reason in FAULTS
    ]


def _features(report: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    kept = report["rows"]["kept"]
    return [
        ("nulls", feature["nulls"] / kept, f"{feature['nulls']:,} of {kept:,} rows without {name}")
        for name, feature in report.get("features", {}).items()
    ]


def _unseen(report: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    return [
        (
            f"unseen_{what}",
            part["unseen"] / part["distinct"],
            f"{part['unseen']:,} of {part['distinct']:,} {what} in {split} that training has not seen",
        )
        for split, parts in report.get("unseen", {}).items()
        for what, part in parts.items()
    ]


def _drift(report: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    drift = report.get("drift")
    if drift is None:
        return []
    moved = [
        (f"{change}_{what}", drift[what][f"{change}_share"], f"{drift[what][change]:,} {change} {what}")
        for what in ("products", "categories")
        for change in ("new", "vanished")
    ]
    return moved + [
        (f"psi_{what}", value, f"population stability index {value:.3f} of {what}")
        for what, value in drift["psi"].items()
    ]
