"""The shapes a metric can have: a mean over purchases, a ratio over customers, a share of the catalogue."""

from typing import NamedTuple, TypeAlias

import numpy as np

from components.common.bootstrap import Bootstrap, Estimate


class PerPurchase(NamedTuple):
    """A mean over the split's rows; slices of the rows have it too."""

    values: np.ndarray  # float64 [R]

    def estimate(self, bootstrap: Bootstrap, customer: np.ndarray, slices: list[np.ndarray]) -> Estimate:
        """The mean over all rows, then over each slice's.

        Args:
            bootstrap: Of the split's customers.
            customer: int64 [R], each row's.
            slices: int64 row numbers of each.
        """
        columns = [np.arange(len(customer)), *slices]
        unit = bootstrap.unit[customer]
        sums = [np.bincount(unit[rows], self.values[rows], bootstrap.units) for rows in columns]
        counts = [np.bincount(unit[rows], minlength=bootstrap.units) for rows in columns]
        return bootstrap.of_units(np.stack(sums, axis=1), np.stack(counts, axis=1).astype(np.float64))


class Ratio(NamedTuple):
    """A sum over customers divided by another."""

    numerator: np.ndarray  # float64 [C]
    denominator: np.ndarray  # float64 [C]

    def estimate(self, bootstrap: Bootstrap, *_: object) -> Estimate:
        return bootstrap.ratio(self.numerator, self.denominator)


class Reach(NamedTuple):
    """The share of the catalogue that is in somebody's list.

    A resample has fewer different customers than the split, so it reaches fewer products. Its spread is right, its
    level is not: the resampled figures are moved to the measured one.
    """

    customers: np.ndarray  # int64 [L]
    lists: np.ndarray  # int64 [L, k]
    catalogue: int

    def estimate(self, bootstrap: Bootstrap, *_: object) -> Estimate:
        shown = np.zeros((bootstrap.units, self.catalogue), np.float32)
        shown[bootstrap.unit[self.customers][:, None], self.lists] = 1.0
        value = np.count_nonzero(shown.any(axis=0)) / self.catalogue
        resampled = np.empty((len(bootstrap.weights), 1))
        for start in range(0, len(resampled), 64):
            drawn = (bootstrap.weights[start : start + 64] > 0).astype(np.float32)
            resampled[start : start + 64, 0] = np.count_nonzero(drawn @ shown, axis=1) / self.catalogue
        return Estimate(np.array([value]), resampled + (value - resampled.mean()))


Measure: TypeAlias = PerPurchase | Ratio | Reach


def per_customer(customers: np.ndarray, values: np.ndarray, of: int) -> Ratio:
    """The mean of one figure a customer, over the customers that have one.

    Args:
        customers: int64 [L].
        values: float64 [L].
        of: All customers, C.
    """
    return Ratio(np.bincount(customers, values, of), np.bincount(customers, minlength=of).astype(np.float64))
