"""Novelty."""

import numpy as np

from components.evaluator.measures import Ratio, per_customer
from components.evaluator.scoring import SHOWN, Scored


def novelty(scored: Scored) -> dict[str, Ratio]:
    """Mean self-information of the products shown, -log2 of their share of the training purchases, in bits.

    A product without a training purchase counts as one with one.
    Vargas and Castells, Rank and relevance in novelty and diversity metrics, RecSys 2011.
    """
    bits = -np.log2(np.maximum(scored.sold, 1) / max(scored.sold.sum(), 1))
    shown = bits[scored.lists].mean(axis=1)
    return {f"novelty_{SHOWN}": per_customer(scored.listed, shown, len(scored.split.customers))}
