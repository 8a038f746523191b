"""Recall where the history is that of the moment: the model's weights know the training split alone, a request all that
the customer bought before. So does production, where a request brings the history; and so do the baselines here.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from components.common import examples, schema, storage
from components.common.own_scores import OwnScores
from components.common.queries import ask
from components.common.ranking import NOT_IN_CATALOGUE, UNRANKED, count_better, recall
from components.evaluator import data
from components.evaluator.baselines import SMOOTHING
from components.evaluator.inputs import Inputs

DAY = 86_400
BASKETS = 256  # whose histories are given at a time
HALF_LIFE = 90.0  # days, of the decayed list
FREQUENCY, DECAYED = "personal_frequency_up_to_date", "personal_decayed_up_to_date"


class Past(NamedTuple):
    """All purchases of the test split's customers, in any split: R of them, by customer, then time."""

    starts: np.ndarray  # int64 [C + 1], of each customer's
    product: np.ndarray  # int64 [R], ids
    place: np.ndarray  # int64 [R], in the catalogue, or NOT_IN_CATALOGUE
    time: np.ndarray  # int64 [R], Unix seconds

    def before(self, customer: int, time: int) -> slice:
        """What a customer bought strictly before."""
        begin, end = self.starts[customer], self.starts[customer + 1]
        return slice(begin, begin + int(np.searchsorted(self.time[begin:end], time)))


def read(log: str, found: Inputs) -> Past:
    """Reads all three splits."""
    columns = {schema.CUSTOMER: "string", schema.PRODUCT: "int64", schema.TIMESTAMP: "int64"}
    parts = [examples.read(examples.shards(storage.join(log, "examples", split)), columns) for split in schema.SPLITS]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in columns}
    customer = data.places(rows[schema.CUSTOMER], found.split.customers)
    order = np.lexsort((rows[schema.TIMESTAMP], customer))
    order = order[customer[order] >= 0]
    product = rows[schema.PRODUCT][order]
    starts = np.searchsorted(customer[order], np.arange(len(found.split.customers) + 1))
    places = data.places(product, found.embedded["model"].catalogue)
    return Past(starts, product, places, rows[schema.TIMESTAMP][order])


def figures(log: str, found: Inputs, ks: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """{"model": {"up_to_date_recall_5": …}, baseline: {"recall_5": …}} of the test rows."""
    past, split, target = read(log, found), found.split, found.target
    _, first = np.unique(split.basket, return_index=True)
    customer, time = split.customer[first], split.time[first]
    share = found.sold / found.sold.sum()
    smoothing = SMOOTHING * found.sold.sum() / found.training_customers * share

    def listed(weights: Callable[[np.ndarray], np.ndarray]) -> Callable[[int, slice], np.ndarray]:
        """A customer's earlier purchases, each with a weight by its age in days, smoothed as the Evaluator does."""

        def scores(now: int, before: slice) -> np.ndarray:
            known = past.place[before] != NOT_IN_CATALOGUE
            ages = (now - past.time[before][known]) / DAY
            return np.bincount(past.place[before][known], weights(ages), minlength=len(share)) + smoothing

        return scores

    lists = {FREQUENCY: listed(np.ones_like), DECAYED: listed(lambda ages: np.exp2(-ages / HALF_LIFE))}
    ranks = {name: np.full((2, split.rows), UNRANKED) for name in ("model", *lists)}
    for some, rows in _blocks(split.basket, len(first)):
        befores = [past.before(customer[basket], time[basket]) for basket in some]
        place = split.basket[rows] - some[0]
        model = _model(found, past, customer[some], time[some], befores)
        ranks["model"][:, rows] = count_better(model, place, target[rows], candidates=len(share))
        for name, scores in lists.items():
            block = np.stack([scores(now, before) for now, before in zip(time[some], befores, strict=True)])
            ranks[name][:, rows] = count_better(block.__getitem__, place, target[rows], candidates=len(share))
    recalls = {name: {k: float(recall(rank[0], rank[1], k).mean()) for k in ks} for name, rank in ranks.items()}
    own = {f"up_to_date_recall_{k}": value for k, value in recalls.pop("model").items()}
    return {"model": own, **{name: {f"recall_{k}": v for k, v in of.items()} for name, of in recalls.items()}}


def _blocks(basket: np.ndarray, baskets: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of some baskets, and their rows."""
    order = np.argsort(basket, kind="stable")
    for start in range(0, baskets, BASKETS):
        some = np.arange(start, min(start + BASKETS, baskets))
        first, last = np.searchsorted(basket[order], [some[0], some[-1] + 1])
        yield some, order[first:last]


def _model(
    found: Inputs, past: Past, customer: np.ndarray, time: np.ndarray, befores: list[slice]
) -> OwnScores | Callable[[slice], np.ndarray]:
    """The model's scores for customers at a time, with what they bought before."""
    lengths = np.array([before.stop - before.start for before in befores])
    products = np.full((len(befores), max(int(lengths.max()), 1)), schema.NO_PRODUCT, np.int64)
    ages = np.zeros(products.shape, np.float32)
    for row, (before, length) in enumerate(zip(befores, lengths, strict=True)):
        products[row, :length] = past.product[before]
        ages[row, :length] = (time[row] - past.time[before]) / DAY
    model, embedded = found.models["model"].query, found.embedded["model"]
    names = found.split.customers[customer]
    raw = {schema.CUSTOMER: names, **dict(zip(schema.HISTORY, (products, ages), strict=True))}
    queries = ask(model, raw, schema.CUSTOMER, embedded.catalogue)
    if queries.own is None:
        raise ValueError("the model has no history")
    return OwnScores(queries.embeddings, embedded.candidates, queries.own)
