"""A few customers of the split in plain sight: what they bought, what the model recommends, what they bought next."""

from typing import Any

import numpy as np

from components.common import schema
from components.common.ranking import NOT_IN_CATALOGUE, ScoreBlock
from components.evaluator.baselines import Purchases
from components.evaluator.data import Split

CUSTOMERS, SHOWN = 12, 10


def pick(
    split: Split,
    scores: ScoreBlock,
    purchases: Purchases,
    catalogue: list[str],
    products: dict[str, dict[str, Any]],
) -> list[dict[str, Any]]:
    """Customers from light to heavy buyers, chosen by how much they bought in training and not by how well it went.

    Args:
        split: The rows, whose customers are shown.
        scores: The model's scores of the split's queries.
        purchases: What those customers bought in training.
        catalogue: Product ids in the order of the scores.
        products: The product lookup of metadata.json.

    Returns:
        Per customer {"customer", "training_purchases", "history": [{"name", "count"}],
        "recommended": [{"name", "hit"}], "bought": [{"name", "count", "hit"}], "hits"}.
    """
    order = np.argsort(purchases.totals(), kind="stable")
    middle = order[len(order) // 20 : len(order) - len(order) // 20]
    places = np.linspace(0, len(middle) - 1, min(CUSTOMERS, len(middle))).round().astype(int)
    names = [products[product].get(schema.NAME) or product for product in catalogue]
    return [_card(int(customer), split, scores, purchases, names) for customer in middle[places]]


def _card(customer: int, split: Split, scores: ScoreBlock, purchases: Purchases, names: list[str]) -> dict[str, Any]:
    query = int(split.query[np.argmax(split.customer == customer)])
    recommended = np.argsort(-scores(slice(query, query + 1))[0], kind="stable")[:SHOWN]
    target = split.target[split.customer == customer]
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
