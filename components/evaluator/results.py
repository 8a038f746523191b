"""All figures of a run: by scorer, metric and slice, each with its interval, and the differences between scorers."""

from typing import Any

import numpy as np

from components.common.bootstrap import LEVEL, Bootstrap, Estimate, Interval
from components.evaluator import metrics
from components.evaluator.measures import PerPurchase
from components.evaluator.scoring import SHOWN, Scored
from components.evaluator.slices import GROUPS, Slice

ALL = "all"  # the slice of every row
MODELS = ("model", "champion")
MISSING = Interval(np.nan, np.nan, np.nan)
LIFTS = (10, 100)  # cut-offs at which the model is compared with the best baseline


class Results:
    """Measures every scorer with the same resamples of customers, so that all differences are paired.

    Args:
        scored: Scorer to what it did; "model" among them, perhaps "champion", the others being baselines.
        slices: Of the rows.
    """

    coverage = f"coverage_{SHOWN}"

    def __init__(self, scored: dict[str, Scored], slices: list[Slice]):
        self.slices = slices
        split = scored["model"].split
        bootstrap = Bootstrap(len(split.customers))
        self.rows, self.customers = split.rows, len(split.customers)
        self.listed = len(scored["model"].listed)
        self.replicates = len(bootstrap.weights)
        self.scorers: dict[str, dict[str, Estimate]] = {}
        self.sliced: set[str] = set()
        for name, did in scored.items():
            found = metrics.measure(did)
            self.sliced |= {metric for metric, measure in found.items() if isinstance(measure, PerPurchase)}
            self.scorers[name] = {
                metric: measure.estimate(bootstrap, split.customer, [part.rows for part in slices])
                for metric, measure in found.items()
            }
        ks = scored["model"].ks
        self.watched = f"recall_{max(ks)}"
        self.lifts = [f"recall_{k}" for k in LIFTS if k in ks] or [self.watched]

    @property
    def baselines(self) -> list[str]:
        return [name for name in self.scorers if name not in MODELS]

    def interval(self, scorer: str, metric: str, number: int = 0) -> Interval | None:
        """A figure of all rows, or of slice `number`, counted from 1; None where there is nothing."""
        return self.scorers[scorer][metric].interval(number)

    def expect(self, scorer: str, metric: str) -> Interval:
        """A figure of all rows that every split has."""
        return self.interval(scorer, metric) or MISSING

    def difference(self, scorer: str, other: str, metric: str, number: int = 0) -> Interval:
        """The paired difference; NaN where there is nothing to compare."""
        one, two = (self.scorers[name][metric].of(number) for name in (scorer, other))
        return (one - two).interval() or MISSING

    def best_baseline(self, metric: str, number: int = 0) -> str:
        """The baseline with the highest figure; the first of equal ones."""
        return max(self.baselines, key=lambda name: self.scorers[name][metric].value[number])

    def document(self) -> dict[str, Any]:
        """metrics, lift, slices and bootstrap of evaluation.json."""
        return {
            "metrics": {name: self._figures(name, 0, set(found)) for name, found in self.scorers.items()},
            "lift": self._lift(0),
            "slices": [self._slice(part, number) for number, part in enumerate(self.slices, 1)],
            "bootstrap": {"replicates": self.replicates, "level": LEVEL, "unit": "customer"},
        }

    def _slice(self, part: Slice, number: int) -> dict[str, Any]:
        facts = {
            "group": part.group,
            "group_label": GROUPS[part.group],
            "name": part.name,
            "label": part.label,
            "rows": len(part.rows),
            "customers": part.customers,
            "share": len(part.rows) / self.rows,
            "small": part.small,
        }
        if not len(part.rows):
            return facts
        figures = {name: self._figures(name, number, self.sliced) for name in self.scorers}
        return {**facts, "metrics": figures, "lift": self._lift(number)}

    def _figures(self, scorer: str, number: int, names: set[str]) -> dict[str, dict[str, float]]:
        found = {metric: self.interval(scorer, metric, number) for metric in self.scorers[scorer] if metric in names}
        return {metric: interval.as_dict() for metric, interval in found.items() if interval}

    def _lift(self, number: int) -> dict[str, dict[str, Any]]:
        """How far the model is above the baseline that does best there."""
        found = {}
        for metric in self.lifts:
            over = self.best_baseline(metric, number)
            found[metric] = {"over": over, **self.difference("model", over, metric, number).as_dict()}
        return found
