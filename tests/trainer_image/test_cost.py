"""The choice of the loss, worked out by hand."""

import numpy as np
import pytest

from trainer_image import cost
from trainer_image.cost import Shape
from trainer_image.inputs import Purchases


def test_a_step_costs_its_towers_and_its_logits() -> None:
    shape = Shape(query_tower=1000, candidate_tower=2000, width=32)
    assert cost.step(shape, queries=10, candidates=5) == 3 * (10 * 1000 + 5 * 2000) + 50 * (3 * 32 + cost.LOGIT)


def uniform(rows: int, groups: int, products: int) -> Purchases:
    """Every query buys the same number of products, one after the other."""
    each = rows // groups
    product = (np.arange(groups * each) % products).astype(np.int32)
    return Purchases({}, np.arange(groups + 1) * each, product, np.ones(groups * each, np.int32))


@pytest.mark.parametrize(
    ("rows", "groups", "products", "expected"),
    [
        (480_000, 2_400, 1_500, "full-catalogue"),  # the demo: two hundred rows a customer, a small catalogue
        (480_000, 480_000, 1_500, "full-catalogue"),  # no equal queries, but a batch holds the catalogue anyway
        (480_000, 480_000, 60_000, "in-batch"),  # a batch holds a fifteenth of the catalogue
        (600_000, 3_000, 60_000, "full-catalogue"),  # the same, but 200 rows a customer pay for it
    ],
)
def test_the_cheaper_loss(rows: int, groups: int, products: int, expected: str) -> None:
    shape = Shape(query_tower=20_736, candidate_tower=21_504, width=32)
    assert cost.cheaper_loss(shape, uniform(rows, groups, products), products, 4096) == expected
