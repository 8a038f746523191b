"""How far this run's data has moved from the previous run's, by its metadata.json."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.common import schema, shapes
from components.common.errors import InputError
from components.common.shapes import Maybe, Number, Object, Text

EXAMPLES = 10
BINS = 10
LEAVE_OUT = "Leave out previous_metadata this once."
COUNTS = Object(others=Number(0, whole=True), least=1)
SHAPE = Object(
    {
        "profile": Object({"categories": COUNTS, "revenue_bins": COUNTS._replace(keys=r"-?\d{1,9}")}),
        "products": Object(others=Object({schema.NAME: Maybe(Text(form=r"(?s).*"))}), least=1),
    }
)
LEAST_SHARE = 1e-4  # stands for a share of 0, whose logarithm does not exist


def read_previous(path: str) -> dict[str, Any]:
    """Reads the metadata.json to compare with.

    Raises:
        InputError: not there, not one, or of a run that kept no profile.
    """
    metadata = schema.read_metadata(path)
    if "profile" not in metadata:
        found, expected = "no profile", "the metadata.json of a run with a data report"
        raise InputError(f"{path}, field profile", found, expected, LEAVE_OUT)
    shapes.expect(path, metadata, SHAPE, LEAVE_OUT)
    if not sum(metadata["profile"]["revenue_bins"].values()) or not sum(metadata["profile"]["categories"].values()):
        raise InputError(f"{path}, field profile", "no row", "at least one", LEAVE_OUT)
    return metadata


def compare(
    previous: dict[str, Any], products: Mapping[str, Mapping[str, Any]], profile: Mapping[str, Any]
) -> dict[str, Any]:
    """New and vanished products and categories, and the population stability index of revenue and categories.

    Args:
        previous: The previous run's metadata.json.
        products: This run's product lookup.
        profile: This run's `measure.profile`.

    Returns:
        {"products", "categories": {"new", "vanished", "new_share" of this run's, "vanished_share" of the previous
        one's, "new_examples", "vanished_examples"}, "psi": {"revenue", "categories"}}.
    """
    before = previous["profile"]
    names = {key: product[schema.NAME] for key, product in (previous["products"] | dict(products)).items()}
    return {
        "products": _turnover(set(previous["products"]), set(products), names),
        "categories": _turnover(set(before["categories"]), set(profile["categories"]), {}),
        "psi": {
            "revenue": population_stability(*_revenue_shares(before["revenue_bins"], profile["revenue_bins"])),
            "categories": population_stability(*_aligned(before["categories"], profile["categories"])),
        },
    }


def population_stability(before: np.ndarray, after: np.ndarray) -> float:
    """Population stability index: sum over bins of (q - p) ln(q / p), with p and q the shares before and after.

    Below 0.1 counts as stable, above 0.25 as another population (Siddiqi, Credit Risk Scorecards, 2006).

    Args:
        before: Counts per bin.
        after: The same bins.
    """
    p, q = (np.maximum(counts / counts.sum(), LEAST_SHARE) for counts in (before, after))
    return float(np.sum((q - p) * np.log(q / p)))


def _turnover(before: set[str], now: set[str], names: Mapping[str, str]) -> dict[str, Any]:
    new, vanished = sorted(now - before), sorted(before - now)
    return {
        "new": len(new),
        "vanished": len(vanished),
        "new_share": len(new) / len(now),
        "vanished_share": len(vanished) / len(before),
        "new_examples": [f"{key} {names.get(key, '')}".strip() for key in new[:EXAMPLES]],
        "vanished_examples": [f"{key} {names.get(key, '')}".strip() for key in vanished[:EXAMPLES]],
    }


def _aligned(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    keys = sorted(before.keys() | after.keys())
    return tuple(np.array([counts.get(key, 0) for key in keys], np.float64) for counts in (before, after))  # type: ignore[return-value]


def _revenue_shares(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The fine bins put together, from the lowest up, until each holds a tenth of the previous run's rows.

    What lies below all of those, and what lies above, has a bin of its own.
    """
    bins = sorted(int(key) for key in before.keys() | after.keys())
    p, q = (np.array([counts.get(str(b), 0) for b in bins], np.float64) for counts in (before, after))
    below = np.cumsum(p) - p
    tenth = np.minimum(np.floor(below / p.sum() * BINS), BINS - 1).astype(int)
    tenth[np.cumsum(p) == 0] = BINS
    tenth[below == p.sum()] = BINS + 1
    return np.bincount(tenth, p, BINS + 2), np.bincount(tenth, q, BINS + 2)
