"""Confidence intervals by resampling customers: purchases of one customer are not independent of each other.

The cluster bootstrap with percentile intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters
8 and 13; Field and Welsh, Bootstrapping clustered data, JRSS B 69, 2007). Everything that is measured on the same
customers is resampled with the same weights, so differences are paired.
"""

from typing import NamedTuple

import numpy as np

REPLICATES = 1000
LEVEL = 0.95
# Beyond this many, customers are resampled in random groups: still independent clusters, so the spread they give is
# that of single customers up to the noise of estimating it from so many (about one percent).
UNITS = 8192


class Interval(NamedTuple):
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


class Estimate(NamedTuple):
    """Figures [M] and the same figures of every resample [B, M]; NaN where nothing was there to average."""

    value: np.ndarray
    resampled: np.ndarray

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The paired difference; both must come from one Bootstrap."""
        return Estimate(self.value - other.value, self.resampled - other.resampled)

    def of(self, number: int) -> "Estimate":
        """One figure of them."""
        return Estimate(self.value[number : number + 1], self.resampled[:, number : number + 1])

    def interval(self, number: int = 0) -> Interval | None:
        """The figure with its percentile interval; None where there is nothing to average."""
        value, drawn = float(self.value[number]), self.resampled[:, number]
        drawn = drawn[np.isfinite(drawn)]  # a resample can miss the few customers of a small slice
        if not np.isfinite(value) or not len(drawn):
            return None
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(value, float(low), float(high))


class Bootstrap:
    """Draws customers with replacement, the same ones for every question.

    Args:
        customers: How many there are, C.
        replicates: Resamples, B.
        seed: Equal seeds draw equal customers.
    """

    def __init__(self, customers: int, replicates: int = REPLICATES, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.units = min(customers, UNITS)
        self.unit = np.arange(customers) if customers <= UNITS else rng.permutation(customers) % UNITS
        self.weights = np.empty((replicates, self.units))
        for row in self.weights:
            row[:] = np.bincount(rng.integers(0, self.units, self.units), minlength=self.units)

    def ratio(self, numerator: np.ndarray, denominator: np.ndarray) -> Estimate:
        """Sums of customers over sums of customers, of which a mean over purchases is one.

        Args:
            numerator, denominator: float64 [C, M], or [C] for one figure.
        """
        return self.of_units(self._by_unit(numerator), self._by_unit(denominator))

    def of_units(self, above: np.ndarray, below: np.ndarray) -> Estimate:
        """The same of sums by resampling unit, `unit` of a customer: float64 [U, M] each."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return Estimate(above.sum(axis=0) / below.sum(axis=0), (self.weights @ above) / (self.weights @ below))

    def mean(self, values: np.ndarray, customer: np.ndarray) -> Interval:
        """The mean of one figure a purchase, of which there is one at least.

        Args:
            values: float64 [R].
            customer: int64 [R], each purchase's.
        """
        unit = self.unit[customer]
        sums, counts = np.bincount(unit, values, self.units), np.bincount(unit, minlength=self.units)
        found = self.of_units(sums[:, None], counts[:, None].astype(np.float64)).interval()
        return found or Interval(np.nan, np.nan, np.nan)

    def _by_unit(self, values: np.ndarray) -> np.ndarray:
        """Sums by resampling unit, float64 [U, M]."""
        values = np.asarray(values, np.float64).reshape(len(self.unit), -1)
        if self.units == len(self.unit):
            return values
        return np.stack([np.bincount(self.unit, column, self.units) for column in values.T], axis=1)
