"""Recall@10 and NDCG@10 by basket, as next-basket recommendation is judged."""

import numpy as np

from components.evaluator.measures import Ratio
from components.evaluator.metrics.ndcg import discounts
from components.evaluator.scoring import SHOWN, Scored, mean_gain


def basket(scored: Scored) -> dict[str, Ratio]:
    """Means over baskets: what a customer bought at one time, each product once.

    Recall is the share of a basket's products among the first ten, NDCG's ideal has them all in front.
    Li et al., A Next Basket Recommendation Reality Check, TOIS 41, 2023, https://arxiv.org/abs/2109.14233
    """
    split, products = scored.split, len(scored.sold)
    different, product = np.unique(split.product, return_inverse=True)
    _, rows = np.unique(split.basket * len(different) + product, return_index=True)
    of_row = split.basket[rows]
    sizes = np.bincount(of_row)
    hits = np.bincount(of_row, mean_gain(scored, (np.arange(products) < SHOWN).astype(np.float64))[rows])
    gains = np.bincount(of_row, mean_gain(scored, discounts(products))[rows])
    ideal = np.cumsum(discounts(SHOWN))[np.minimum(sizes, SHOWN) - 1]
    customer = np.empty(len(sizes), np.int64)
    customer[split.basket] = split.customer
    customers = len(split.customers)
    baskets = np.bincount(customer, minlength=customers).astype(np.float64)
    return {
        f"basket_recall_{SHOWN}": Ratio(np.bincount(customer, hits / sizes, customers), baskets),
        f"basket_ndcg_{SHOWN}": Ratio(np.bincount(customer, gains / ideal, customers), baskets),
    }
