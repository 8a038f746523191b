"""Mean reciprocal rank."""

import numpy as np

from components.evaluator.measures import PerPurchase
from components.evaluator.scoring import Scored, mean_gain


def mrr(scored: Scored) -> dict[str, PerPurchase]:
    """The mean of 1 / place over the whole catalogue."""
    return {"mrr": PerPurchase(mean_gain(scored, 1 / np.arange(1, len(scored.sold) + 1)))}
