"""What the report shows beside the figures: curves, what is shown to customers, the map of products, customers."""

import importlib.metadata
import platform

import numpy as np

from components.common.ranking import NOT_IN_CATALOGUE
from components.evaluator.inputs import Inputs
from components.evaluator.scoring import Scored, popularity_tenth, recall_curve

CURVE_TO = 100
PACKAGES = ("tensorflow", "keras", "tensorflow-recommenders", "numpy", "pyarrow", "kfp")


def coverage(scored: Scored) -> list[float]:
    """Per tenth of the catalogue, from the most-bought on, the share of its products that are in somebody's list."""
    tenth = popularity_tenth(scored.sold)
    shown = np.zeros(len(tenth), bool)
    shown[scored.lists] = True
    return [float(shown[tenth == number].mean()) for number in np.unique(tenth)]


def places(scored: Scored) -> list[float]:
    """Per tenth of the catalogue the share of all places in customers' lists that go to it."""
    return _by_tenth(scored.sold, scored.lists.ravel())


def purchases(found: Inputs) -> list[float]:
    """Per tenth of the catalogue the share of the split's purchases of catalogue products."""
    return _by_tenth(found.sold, found.target[found.target != NOT_IN_CATALOGUE])


def _by_tenth(sold: np.ndarray, products: np.ndarray) -> list[float]:
    tenth = popularity_tenth(sold)
    counts = np.bincount(tenth[products], minlength=tenth.max() + 1)[np.unique(tenth)]
    return [float(share) for share in counts / max(counts.sum(), 1)]


def versions() -> dict[str, str]:
    """Of Python and of the packages that made the figures, those that are installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def curve(scored: Scored) -> list[float]:
    """Recall@1, @2, … up to CURVE_TO or the catalogue's size."""
    return recall_curve(scored, range(1, min(CURVE_TO, len(scored.sold)) + 1))
