"""Which of the two losses is cheaper: arithmetic per purchase, with the weight of a logit as it was measured."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from components.common import feature_config as fc
from trainer_image.batches import queries_per_step
from trainer_image.inputs import Purchases
from trainer_image.model import Encoders

LOGIT = 350  # multiply-adds that take as long as exp, sum and scaling of one logit (`make bench-train`, "crossover")
WORTH_IT = 1.25  # the full catalogue may cost this much more: it is exact, and the host has less to do
BACKWARD = 3  # forward and backward pass against the forward pass alone


class Shape(NamedTuple):
    """Sizes of a step: multiply-adds of one row through each tower, and the width of the embeddings."""

    query_tower: int
    candidate_tower: int
    width: int


def shape_of(config: fc.FeatureConfig, encoders: Encoders) -> Shape:
    """The sizes of a model."""
    sizes: list[int] = []
    for tower, encoder in ((config.query, encoders.query), (config.candidate, encoders.candidate)):
        widths = (sum(encoder.widths.values()), *tower.layers)
        sizes.append(sum(before * after for before, after in pairwise(widths)))
    return Shape(sizes[0], sizes[1], config.query.layers[-1])


def step(shape: Shape, queries: float, candidates: float) -> float:
    """Multiply-adds of a step, logits included."""
    logits = queries * candidates * (BACKWARD * shape.width + LOGIT)
    return BACKWARD * (queries * shape.query_tower + candidates * shape.candidate_tower) + logits


def cheaper_loss(shape: Shape, purchases: Purchases, products: int, batch_rows: int) -> str:
    """ "full-catalogue" or "in-batch".

    Args:
        shape: Of the towers.
        purchases: The training purchases.
        products: Size of the catalogue.
        batch_rows: Purchases of a global batch.
    """
    rows, groups = purchases.rows, purchases.groups
    queries = queries_per_step(rows, groups, batch_rows)
    full = step(shape, queries, products) / (queries * rows / groups)
    shares = purchases.product_counts(products) / rows
    sizes = np.add.reduceat(purchases.times, purchases.splits[:-1], dtype=np.int64) / rows
    distinct_queries, distinct_products = (
        float(-np.expm1(batch_rows * np.log1p(-np.minimum(part, 1 - 1e-12))).sum()) for part in (sizes, shares)
    )
    sampled = step(shape, distinct_queries, distinct_products) / batch_rows
    return "full-catalogue" if full <= WORTH_IT * sampled else "in-batch"
