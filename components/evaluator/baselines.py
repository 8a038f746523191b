"""What a shop knows without a model: best sellers, those of a city, shopping lists, products bought together."""

import numpy as np

from components.evaluator.history import Purchases
from components.evaluator.inputs import Inputs
from components.evaluator.scoring import Scorer, Scores

# Of the average customer's purchases: so many more does everybody seem to have made, in the proportions of the shop.
SMOOTHING = 0.5
RIDGE = 0.1  # EASE's penalty, of the mean diagonal of XᵀX
# Both did best, or as well as any, on the demo's validation split; as shares they do not depend on a log's size.
EASE_PRODUCTS = 5_000  # inverting the products' matrix takes their number cubed: above, it is left out
EASE_CUSTOMERS = 50_000  # whose purchases it learns from; of more, a sample


def build(found: Inputs) -> tuple[dict[str, Scorer], dict[str, str]]:
    """The baselines, and for those that cannot be had the reason."""
    split, history, sold, target = found.split, found.history, found.sold, found.target
    share = sold / max(sold.sum(), 1)
    everybody = np.zeros(split.rows, np.int64)
    scorers = {"popularity": Scorer(lambda _: sold[None, :], everybody, target, sold)}
    left_out = {}
    if len(split.cities):
        scorers["popularity_by_city"] = Scorer(_by_city(history.by_city, share), split.city, target, sold)
    else:
        left_out["popularity_by_city"] = "The Examples hold no city."
    shopping_list = _personal_frequency(history.by_customer, share)
    scorers["personal_frequency"] = Scorer(shopping_list, split.customer, target, sold)
    if len(sold) <= EASE_PRODUCTS:
        scorers["ease"] = Scorer(ease(history.by_customer), split.customer, target, sold)
    else:
        left_out["ease"] = f"The catalogue has {len(sold):,} products, and it is computed for up to {EASE_PRODUCTS:,}."
    return scorers, left_out


def _by_city(purchases: Purchases, share: np.ndarray) -> Scores:
    """What sold most in the row's city; ties, and cities that training does not know, by what sold most everywhere."""
    return lambda block: purchases.dense(block) + share / 2  # below 1, so it never outweighs a purchase


def _personal_frequency(purchases: Purchases, share: np.ndarray) -> Scores:
    """What the customer bought most often, smoothed with what everybody buys (a Dirichlet prior)."""
    totals = purchases.totals()
    prior = SMOOTHING * totals.sum() / max(np.count_nonzero(totals), 1) * share
    return lambda block: purchases.dense(block) + prior


def ease(purchases: Purchases) -> Scores:
    """EASE: a linear model from all products that a customer bought to each one of them, fitted in closed form.

    B = -P / diag(P) off the diagonal and 0 on it, with P = (XᵀX + λI)⁻¹. X is log(1 + times bought), where the paper
    has whether it was bought at all: in a log full of repeats that does far better.
    Harald Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, https://arxiv.org/abs/1905.03375
    """
    together = _together(purchases)
    inverse = np.linalg.inv(together + max(RIDGE * np.diag(together).mean(), 1e-9) * np.eye(purchases.size))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)

    def scores(owners: slice | np.ndarray) -> np.ndarray:
        numbers = np.arange(len(purchases.starts) - 1)[owners]
        found = np.empty((len(numbers), purchases.size), np.float32)  # rounded as embedding_scores are
        for row, owner in enumerate(numbers):
            products, counts = purchases.of(owner)
            found[row] = np.log1p(counts) @ weights[products]
        return found

    return scores


def _together(purchases: Purchases, block: int = 4096) -> np.ndarray:
    """XᵀX, float64 [N, N]; of very many customers estimated from a sample."""
    owners = len(purchases.starts) - 1
    chosen = np.arange(owners)
    if owners > EASE_CUSTOMERS:
        chosen = np.sort(np.random.default_rng(0).choice(owners, EASE_CUSTOMERS, replace=False))
    total = np.zeros((purchases.size, purchases.size))
    for start in range(0, owners, block):
        stop = min(start + block, owners)
        mine = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, stop)] - start
        bought = np.log1p(purchases.dense(slice(start, stop))[mine])
        total += bought.T @ bought
    return total * (owners / len(chosen))
