"""Recall@k."""

from components.common import ranking
from components.evaluator.measures import PerPurchase
from components.evaluator.scoring import Scored


def recall(scored: Scored) -> dict[str, PerPurchase]:
    """Recall@k with one relevant product a purchase, what TFRS calls top-k categorical accuracy."""
    return {f"recall_{k}": PerPurchase(ranking.recall(scored.better, scored.tied, k)) for k in scored.ks}
