"""NDCG@10."""

import numpy as np

from components.evaluator.measures import PerPurchase
from components.evaluator.scoring import SHOWN, Scored, mean_gain


def discounts(places: int) -> np.ndarray:
    """1 / log2(place + 1) for the first SHOWN places, 0 after: float64 [places].

    Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, TOIS 20, 2002.
    """
    place = np.arange(1, places + 1)
    return np.where(place <= SHOWN, 1 / np.log2(place + 1), 0.0)


def ndcg(scored: Scored) -> dict[str, PerPurchase]:
    """NDCG@10 with one relevant product a purchase, so that the ideal is 1."""
    return {f"ndcg_{SHOWN}": PerPurchase(mean_gain(scored, discounts(len(scored.sold))))}
