"""What a shop knows without a model: best sellers, those of a city, shopping lists, products bought together."""

import numpy as np

from components.common.ranking import ScoreBlock
from components.evaluator.history import Purchases
from components.evaluator.inputs import Inputs
from components.evaluator.scoring import Scorer

# A shopping list is filled up as if everybody had bought this many more products, in the proportions of the shop.
SMOOTHING = 10.0
RIDGE = 500.0  # EASE's only parameter, the value that its paper finds for data of this sort
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


def _by_city(purchases: Purchases, share: np.ndarray) -> ScoreBlock:
    """What sold most in the row's city; ties, and cities that training does not know, by what sold most everywhere."""
    return lambda block: purchases.dense(block) + share / 2  # below 1, so it never outweighs a purchase


def _personal_frequency(purchases: Purchases, share: np.ndarray) -> ScoreBlock:
    """What the customer bought most often, smoothed with what everybody buys (a Dirichlet prior)."""
    return lambda block: purchases.dense(block) + SMOOTHING * share


def ease(purchases: Purchases) -> ScoreBlock:
    """EASE: a linear model from all products that a customer bought to each one of them, fitted in closed form.

    B = -P / diag(P) off the diagonal and 0 on it, with P = (XᵀX + λI)⁻¹ and X whether a customer bought a product.
    Harald Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, https://arxiv.org/abs/1905.03375
    """
    inverse = np.linalg.inv(_together(purchases) + RIDGE * np.eye(purchases.size))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    # Rounded as embedding_scores are: a BLAS kernel's order of summation must not decide between equal products.
    return lambda block: ((purchases.dense(block) > 0) @ weights).astype(np.float32)


def _together(purchases: Purchases, block: int = 4096) -> np.ndarray:
    """How many customers bought each two products, float64 [N, N]; estimated from a sample of very many customers."""
    owners = len(purchases.starts) - 1
    chosen = np.arange(owners)
    if owners > EASE_CUSTOMERS:
        chosen = np.sort(np.random.default_rng(0).choice(owners, EASE_CUSTOMERS, replace=False))
    total = np.zeros((purchases.size, purchases.size))
    for start in range(0, owners, block):
        stop = min(start + block, owners)
        mine = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, stop)] - start
        bought = (purchases.dense(slice(start, stop))[mine] > 0).astype(np.float32)  # counts stay below 2^24: exact
        total += bought.T @ bought
    return total * (owners / len(chosen))
