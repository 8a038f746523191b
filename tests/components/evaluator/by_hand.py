"""Purchases from a table of counts."""

import numpy as np

from components.evaluator.history import Purchases, _Fold


def purchases(bought: np.ndarray) -> Purchases:
    """Of customers x products with counts."""
    fold = _Fold()
    owner, product = np.nonzero(bought)
    times = bought[owner, product]
    fold.add(np.repeat(owner, times), np.repeat(product, times), bought.shape[1])
    return Purchases(fold.total, *bought.shape)
