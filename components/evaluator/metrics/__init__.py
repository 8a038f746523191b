"""The metrics, one function a file: every module of this folder adds what its function of the same name returns.

To add a metric, add a file. Its function takes a `Scored` and returns {name: PerPurchase, Ratio or Reach}.
"""

import importlib
import pkgutil

from components.evaluator.measures import Measure
from components.evaluator.scoring import Scored


def measure(scored: Scored) -> dict[str, Measure]:
    """Everything that is measured of one scorer, by name."""
    found: dict[str, Measure] = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        measured = getattr(importlib.import_module(f"{__name__}.{module}"), module)(scored)
        if not found.keys().isdisjoint(measured):
            raise ValueError(
                f"{module}.py measures {', '.join(found.keys() & measured)}, which another metric does too"
            )
        found |= measured
    return found
