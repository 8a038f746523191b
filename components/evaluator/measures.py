"""The shapes a metric can have: a mean over purchases, a ratio over customers, a share of the catalogue."""

from statistics import NormalDist
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

    A resample with replacement has fewer different customers than the split, so it reaches fewer products, and spreads
    too far. The interval is the jackknife's, which leaves out one customer at a time (Efron and Tibshirani, chapter
    11): only the products that nobody else is shown are lost.
    """

    customers: np.ndarray  # int64 [L]
    lists: np.ndarray  # int64 [L, k]
    catalogue: int

    def estimate(self, bootstrap: Bootstrap, *_: object) -> Estimate:
        pairs = np.unique(bootstrap.unit[self.customers][:, None] * self.catalogue + self.lists)
        unit, product = np.divmod(pairs, self.catalogue)
        shown_to = np.bincount(product, minlength=self.catalogue)
        value = np.count_nonzero(shown_to) / self.catalogue
        lost = np.bincount(unit, shown_to[product] == 1, bootstrap.units) / self.catalogue
        units = len(np.unique(unit))
        spread = np.sqrt((units - 1) / units * np.square(lost - lost.sum() / units).sum()) if units > 1 else 0.0
        places = (np.arange(len(bootstrap.weights)) + 0.5) / len(bootstrap.weights)
        normal = np.array([NormalDist().inv_cdf(place) for place in places])
        return Estimate(np.array([value]), np.clip(value + spread * normal, 0, 1)[:, None])


Measure: TypeAlias = PerPurchase | Ratio | Reach


def per_customer(customers: np.ndarray, values: np.ndarray, of: int) -> Ratio:
    """The mean of one figure a customer, over the customers that have one.

    Args:
        customers: int64 [L].
        values: float64 [L].
        of: All customers, C.
    """
    return Ratio(np.bincount(customers, values, of), np.bincount(customers, minlength=of).astype(np.float64))
