"""Popularity bias."""

import numpy as np

from components.evaluator.measures import Ratio, per_customer
from components.evaluator.scoring import SHOWN, Scored


def popularity_bias(scored: Scored) -> dict[str, Ratio]:
    """How popular the products shown are, as a multiple of how popular those are that the customer bought in training.

    Popularity is a product's training purchases; 1 means that a customer is shown products as popular as their own.
    It is 1 + the popularity lift of Abdollahpouri et al., The connection between popularity bias, calibration, and
    fairness in recommendation, RecSys 2020. Customers without a training purchase are left out.
    """
    taste = scored.taste[scored.listed]
    has = np.isfinite(taste)
    customers, of = scored.listed[has], len(scored.split.customers)
    shown = per_customer(customers, scored.sold[scored.lists[has]].mean(axis=1), of)
    return {f"popularity_bias_{SHOWN}": Ratio(shown.numerator, np.bincount(customers, taste[has], of))}
