"""Exact Recall@k of the towers over the whole catalogue, while and after they are trained."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from components.common import ranking
from trainer_image import inputs
from trainer_image.divergence import diverged
from trainer_image.inputs import Purchases
from trainer_image.model import TwoTower

KS = (5, 10, 50, 100)
SCORES = 1 << 28  # that one validation computes, at most: beyond it, a sample of the queries answers
COLLAPSED = 0.01


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
    queries, candidates = embeddings(model, purchases)
    hits = hits_of(queries, candidates, purchases, [k for k in KS if k <= len(candidates)])
    recalls = {k: float(np.average(hit, weights=purchases.times)) for k, hit in hits.items()}
    return Validation(recalls, spread(queries), spread(candidates))


def embeddings(model: TwoTower, purchases: Purchases) -> tuple[np.ndarray, np.ndarray]:
    """Of the queries and of the catalogue: float32 [G, D], [N, D].

    Raises:
        InputError: one is not finite any more.
    """
    queries = embed(model.query_tower, purchases.queries)
    candidates = embed(model.candidate_tower, {key: value.numpy() for key, value in model.encoded_catalogue.items()})
    if not (np.isfinite(queries).all() and np.isfinite(candidates).all()):
        raise diverged("the embeddings", "NaN or infinite values")
    return queries, candidates


def hits_of(
    queries: np.ndarray, candidates: np.ndarray, purchases: Purchases, ks: Sequence[int]
) -> dict[int, np.ndarray]:
    """{k: float64 [E]}, the chance that each pair's product is among the first k of its query."""
    scores = ranking.embedding_scores(queries, candidates)
    better, tied = ranking.count_better(scores, purchases.pair_query(), purchases.product, candidates=len(candidates))
    return {k: ranking.recall(better, tied, k) for k in ks}


def sampled(purchases: Purchases, products: int, seed: int) -> Purchases:
    """What is validated after every epoch: all purchases, or those of as many queries as SCORES allows."""
    return inputs.sample(purchases, max(SCORES // products, 1), seed)


def watched(products: int) -> int:
    """The k of the validation Recall that decides, within half the catalogue: Recall@N is always 1."""
    return max((k for k in KS if k <= products / 2), default=KS[0])


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
