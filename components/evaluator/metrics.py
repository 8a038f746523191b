"""What is measured from the rank of every row's product: float64 means over the rows, ties in expectation."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from components.common import ranking


class Ranks(NamedTuple):
    """One scorer's ranks, as `ranking.count_better` gives them: int64 [R] each."""

    better: np.ndarray
    tied: np.ndarray


def recall(ranks: Ranks, ks: Iterable[int]) -> dict[str, float]:
    """Recall@k with one relevant product per row: {"5": …, "10": …}."""
    return {str(k): float(ranking.recall(ranks.better, ranks.tied, k).mean()) for k in ks}
