"""Exact Recall@k of the towers over the whole catalogue, while and after they are trained."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.common import ranking
from components.common.dot_products import DotProducts
from components.common.own_terms import OwnTerms
from trainer_image import history, inputs
from trainer_image.divergence import diverged
from trainer_image.inputs import Purchases
from trainer_image.model import TwoTower
from trainer_image.options import KS, within

SCORES = 1 << 28  # that one validation computes, at most: beyond it, a sample of the queries answers
COLLAPSED = 0.01
HISTORIES = 2048  # queries whose purchases are looked at together
BEHIND = -1e30  # a score below any other


class Validation(NamedTuple):
    """Recall by k, and how far apart the embeddings of each side are (see `spread`)."""

    recalls: dict[int, float]
    query_spread: float
    candidate_spread: float

    @property
    def collapsed(self) -> str:
        """The towers that give nearly everything one embedding, in words; "" when there is none."""
        sides = {"customers": self.query_spread, "products": self.candidate_spread}
        return " and ".join(side for side, value in sides.items() if value < COLLAPSED)


def validate(model: TwoTower, purchases: Purchases) -> Validation:
    """Recall over all purchases; k beyond the size of the catalogue is left out.

    Raises:
        InputError: an embedding is not finite any more.
    """
    found = embeddings(model, purchases)
    times = purchases.times * ~is_left_out(model, found, purchases)
    hits = hits_of(found, purchases, [k for k in KS if k <= len(found.candidates)])
    recalls = {k: float(np.average(hit, weights=times) if times.any() else 0.0) for k, hit in hits.items()}
    return Validation(recalls, spread(found.queries), spread(found.candidates))


class Embeddings(NamedTuple):
    """What G queries and N products are scored with.

    Attributes:
        queries, candidates: float32 [G, D], [N, D].
        own: What is added to the scores of products that a query bought. None without a history.
    """

    queries: np.ndarray
    candidates: np.ndarray
    own: OwnTerms | None = None

    def scores(self) -> DotProducts:
        """For `ranking.count_better`."""
        return ranking.embedding_scores(self.queries, self.candidates, self.own)


def embeddings(model: TwoTower, purchases: Purchases) -> Embeddings:
    """Of the queries and of the catalogue.

    With a history, until the term of the customer's own products is trained, these are put behind all others.

    Raises:
        InputError: a number is not finite any more.
    """
    if model.history is None:
        catalogue = {key: value.numpy() for key, value in model.encoded_catalogue.items()}
        found = Embeddings(embed(model.query_tower, purchases.queries), embed(model.candidate_tower, catalogue))
    else:
        found = _with_history(model, model.history, purchases.queries)
    own = np.zeros(0) if found.own is None else found.own.scores
    if not (np.isfinite(found.queries).all() and np.isfinite(found.candidates).all() and np.isfinite(own).all()):
        raise diverged("the embeddings", "NaN or infinite values")
    return found


def _with_history(model: TwoTower, past: history.History, queries: dict[str, np.ndarray]) -> Embeddings:
    candidates = tf.cast(model.candidates(), tf.float32)
    rows, parts = queries[history.KEY], []
    for start in range(0, len(rows), HISTORIES):
        part = {key: tf.constant(column[start : start + HISTORIES]) for key, column in queries.items()}
        events = history.Events(*map(tf.constant, past.of(rows[start : start + HISTORIES])))
        answer = model.answer(part, events, len(rows[start : start + HISTORIES]), candidates)
        found, row, place, score = (values.numpy() for values in answer)
        parts.append((found, row.astype(np.int64) + start, place, score))
    embedded, query, product, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    if model.repeats is None:
        score = np.full(len(score), BEHIND, np.float32)
    starts = np.searchsorted(query, np.arange(len(rows) + 1))
    own = OwnTerms(starts, product.astype(np.int64), score)  # pairs are in the order of the history: by product
    return Embeddings(embedded, model.scored(candidates).numpy(), own)


def is_left_out(model: TwoTower, found: Embeddings, purchases: Purchases) -> np.ndarray:
    """bool [E]: pairs that do not count, because the customer's own products are not ranked yet."""
    if found.own is None or model.repeats is not None:
        return np.zeros(len(purchases.product), bool)
    products = len(found.candidates)
    bought = found.own.queries * products + found.own.places
    return np.isin(purchases.pair_query() * products + purchases.product, bought)


def hits_of(found: Embeddings, purchases: Purchases, ks: Sequence[int]) -> dict[int, np.ndarray]:
    """{k: float64 [E]}, the chance that each pair's product is among the first k of its query."""
    products = len(found.candidates)
    better, tied = ranking.count_better(found.scores(), purchases.pair_query(), purchases.product, candidates=products)
    return {k: ranking.recall(better, tied, k) for k in ks}


def sampled(purchases: Purchases, products: int, seed: int) -> Purchases:
    """What is validated after every epoch: all purchases, or those of as many queries as SCORES allows."""
    return inputs.sample(purchases, max(SCORES // products, 1), seed)


def watched(products: int) -> int:
    """The k of the validation Recall that decides."""
    return max(within(products))


def embed(tower: keras.Model, encoded: dict[str, np.ndarray], block: int = 8192) -> np.ndarray:
    """float32 [rows, D], in blocks of bounded memory."""
    rows = len(next(iter(encoded.values())))
    blocks = ({key: value[i : i + block] for key, value in encoded.items()} for i in range(0, rows, block))
    return np.concatenate([tower(part).numpy().astype(np.float32) for part in blocks])


def spread(embeddings: np.ndarray) -> float:
    """Root mean square distance from the mean, as a share of the root mean square length: 0 when all are equal."""
    length = np.square(embeddings, dtype=np.float64).mean(axis=0).sum()
    if not length:
        return 0.0
    return float(np.sqrt(embeddings.var(axis=0, dtype=np.float64).sum() / length))
