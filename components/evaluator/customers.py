"""A few customers of the split in plain sight: what they bought, what the model recommends, what they bought next."""

from typing import Any

import numpy as np

from components.common import schema
from components.common.ranking import NOT_IN_CATALOGUE
from components.evaluator.data import Split
from components.evaluator.history import Purchases
from components.evaluator.scoring import SHOWN, Scorer, top

CUSTOMERS = 12


def pick(
    split: Split,
    scorer: Scorer,
    purchases: Purchases,
    catalogue: list[str],
    products: dict[str, dict[str, Any]],
) -> list[dict[str, Any]]:
    """Customers from light to heavy buyers, chosen by how much they bought in training and not by how well it went.

    Args:
        split: The rows, whose customers are shown.
        scorer: The model.
        purchases: What those customers, first of all, bought in training.
        catalogue: Product ids in the order of the scores.
        products: The product lookup of metadata.json.

    Returns:
        Per customer {"customer", "training_purchases", "history": [{"name", "count"}],
        "recommended": [{"name", "hit"}], "bought": [{"name", "count", "hit"}], "hits"}.
    """
    order = np.argsort(purchases.totals()[: len(split.customers)], kind="stable")
    middle = order[len(order) // 20 : len(order) - len(order) // 20]
    places = np.linspace(0, len(middle) - 1, min(CUSTOMERS, len(middle))).round().astype(int)
    names = [products[product].get(schema.NAME) or product for product in catalogue]
    lists = top(scorer.scores, scorer.query[split.first_row[middle[places]]], len(catalogue))
    return [
        _card(customer, split, recommended, scorer.target, purchases, names)
        for customer, recommended in zip(middle[places].tolist(), lists, strict=True)
    ]


def _card(
    customer: int, split: Split, recommended: np.ndarray, target: np.ndarray, purchases: Purchases, names: list[str]
) -> dict[str, Any]:
    target = target[split.customer == customer]
    bought, count = np.unique(target[target != NOT_IN_CATALOGUE], return_counts=True)
    frequent = np.argsort(-count, kind="stable")
    history, times = purchases.of(customer)
    most = np.argsort(-times, kind="stable")[:SHOWN]
    return {
        "customer": split.customers[customer].decode(errors="replace"),
        "training_purchases": int(times.sum()),
        "history": [{"name": names[history[i]], "count": int(times[i])} for i in most],
        "recommended": [{"name": names[i], "hit": bool(i in bought)} for i in recommended],
        "bought": [
            {"name": names[bought[i]], "count": int(count[i]), "hit": bool(bought[i] in recommended)} for i in frequent
        ],
        "hits": int(np.isin(recommended, bought).sum()),
    }
