"""Who buys what how often in the synthetic logs of train_data.py, and how well that can be predicted.

A customer buys what is popular, from three of fifty tastes, and favourites of their own. A row's product is drawn from
that mixture, so no model can be expected to rank better than the mixture's own probabilities do.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from components.common import ranking, schema

TASTES, OWN_TASTES, LIKED, FAVOURITES, CITIES, CATEGORIES = 50, 3, 6, 5, 200, 20
POPULAR, TASTE, FAVOURITE = 0.25, 0.6, 0.15  # parts of a customer's mixture
SHARES = (0.8, 0.15, 0.05)  # of train, validation and test
YEAR = (1_704_067_200, 1_735_689_600)  # Unix seconds
BLOCK = 65_536  # rows drawn at a time
KS = (5, 10, 50, 100)


class World(NamedTuple):
    """Who there is, what there is, and who buys what how often.

    Attributes:
        ids: Product ids, int64 [N].
        subcategory, category: Of each product, int32 [N].
        taste: Share of each product in each taste, float32 [TASTES + 1, N]; the last row is popularity.
        own, part: The tastes of each customer and their shares of TASTE, int64 and float64 [C, OWN_TASTES].
        favourite: Products, int32 [C, FAVOURITES]; each has an equal share of FAVOURITE.
        activity: Share of each customer in all purchases, float64 [C].
        city, revenue: Of each customer, int32 [C] and float32 [C].
    """

    ids: np.ndarray
    subcategory: np.ndarray
    category: np.ndarray
    taste: np.ndarray
    own: np.ndarray
    part: np.ndarray
    favourite: np.ndarray
    activity: np.ndarray
    city: np.ndarray
    revenue: np.ndarray

    def probabilities(self, customers: np.ndarray) -> np.ndarray:
        """What each of these customers [b] buys next: float32 [b, N], a row sums to 1."""
        row = np.arange(len(customers))[:, None]
        mixture = np.zeros((len(customers), TASTES + 1), np.float32)
        np.add.at(mixture, (row, self.own[customers]), TASTE * self.part[customers])
        mixture[:, TASTES] = POPULAR
        shares = mixture @ self.taste
        np.add.at(shares, (row, self.favourite[customers]), np.float32(FAVOURITE / FAVOURITES))
        return shares


class Purchases(NamedTuple):
    """Rows, each array [R].

    Attributes:
        customer, product: Their indices in the world, int32.
        time: Unix seconds, int64.
        split: Its place in schema.SPLITS, int8.
    """

    customer: np.ndarray
    product: np.ndarray
    time: np.ndarray
    split: np.ndarray


@functools.lru_cache(1)
def world(customers: int, products: int, seed: int) -> World:
    """Draws customers and products; a worker does so once for all its shards."""
    random = np.random.default_rng([seed, 0])
    popular = 1 / (random.permutation(products) + 10.0)  # Zipf, with a head as flat as a grocer's
    subcategories = min(300, max(CATEGORIES, products // 20))
    subcategory = random.integers(0, subcategories, products, dtype=np.int32)
    likes = np.zeros((TASTES, subcategories)) + 1e-3  # nothing is impossible
    np.put_along_axis(likes, random.integers(0, subcategories, (TASTES, LIKED)), 1.0, axis=1)
    taste = likes[:, subcategory] * np.sqrt(popular) * random.lognormal(0, 1, (TASTES, products))
    taste = np.vstack([taste, popular])
    taste = (taste / taste.sum(axis=1, keepdims=True)).astype(np.float32)

    own = random.integers(0, TASTES, (customers, OWN_TASTES))
    favourite = _draw(_cumulative(taste), np.repeat(own[:, :1], FAVOURITES, axis=1), random)
    activity = random.lognormal(0, 0.8, customers)
    return World(
        ids=300_000_000_000 + 1_009 * random.permutation(products).astype(np.int64),
        subcategory=subcategory,
        category=subcategory % CATEGORIES,
        taste=taste,
        own=own,
        part=random.dirichlet(np.ones(OWN_TASTES), customers),
        favourite=favourite,
        activity=activity / activity.sum(),
        city=(CITIES * random.random(customers) ** 2).astype(np.int32),
        revenue=np.round(activity * random.lognormal(6, 0.3, customers), 2).astype(np.float32),
    )


def _cumulative(taste: np.ndarray) -> np.ndarray:
    """The cumulative shares of all tastes in one array [T * N]: those of taste t go from t to t + 1."""
    return (np.cumsum(taste, axis=1, dtype=np.float64) + np.arange(len(taste))[:, None]).ravel()


def _draw(cumulative: np.ndarray, taste: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A product from each of these tastes, int32 of the same shape."""
    products = len(cumulative) // (TASTES + 1)
    place = np.searchsorted(cumulative, taste + random.random(taste.shape), "right") - taste * products
    return np.clip(place, 0, products - 1).astype(np.int32)


def blocks(log: World, rows: int, random: np.random.Generator) -> Iterator[Purchases]:
    """Independent rows: a customer by activity, a part of their mixture, a product of that part, a split."""
    cumulative, activity, splits = _cumulative(log.taste), np.cumsum(log.activity), np.cumsum(SHARES)[:-1]
    for start in range(0, rows, BLOCK):
        size = min(BLOCK, rows - start)
        customer = np.searchsorted(activity[:-1], random.random(size), "right").astype(np.int32)
        ends = np.cumsum(log.part[customer], axis=1)[:, :-1]
        own = log.own[customer, (ends <= random.random((size, 1))).sum(axis=1)]
        favourite = log.favourite[customer, random.integers(0, FAVOURITES, size)]
        kind = random.random(size)
        drawn = _draw(cumulative, np.where(kind < POPULAR, TASTES, own), random)
        product = np.where(kind < POPULAR + TASTE, drawn, favourite)
        split = np.searchsorted(splits, random.random(size), "right").astype(np.int8)
        yield Purchases(customer, product, random.integers(*YEAR, size), split)


def truth(log: World, bought: Purchases) -> dict[str, dict[int, float]]:
    """Recall@k on the test split, exact over all products, ties in expectation."""
    test = bought.split == schema.SPLITS.index("test")
    target = bought.product[test]
    customers, query = np.unique(bought.customer[test], return_inverse=True)
    best = ranking.count_better(
        lambda block: log.probabilities(customers[block]), query, target, candidates=len(log.ids)
    )
    purchases = np.bincount(bought.product[bought.split == 0], minlength=len(log.ids))
    everything = np.arange(len(log.ids))
    popular = ranking.count_better(
        lambda block: purchases[None].astype(np.float32), 0 * everything, everything, candidates=len(log.ids)
    )
    return {
        "recall_of_true_probabilities": {k: float(ranking.recall(*best, k).mean()) for k in KS},
        "recall_of_popularity": {k: float(ranking.recall(*popular, k)[target].mean()) for k in KS},
    }
