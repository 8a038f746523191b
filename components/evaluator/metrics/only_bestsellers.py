"""Customers who get nothing but best sellers."""

import numpy as np

from components.evaluator.measures import Ratio, per_customer
from components.evaluator.scoring import SHOWN, Scored, popularity_tenth


def only_bestsellers(scored: Scored) -> dict[str, Ratio]:
    """The share of customers whose first ten are all of the tenth of the catalogue that sold most in training.

    A catalogue of fewer than a hundred products has no such figure.
    """
    if np.count_nonzero(popularity_tenth(scored.sold) == 0) < scored.lists.shape[1]:
        return {}  # no list can hold best sellers alone
    nothing_else = (popularity_tenth(scored.sold)[scored.lists] == 0).all(axis=1)
    return {f"only_bestsellers_{SHOWN}": per_customer(scored.listed, nothing_else * 1.0, len(scored.split.customers))}
