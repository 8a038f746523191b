"""What is watched while training, and how a collapse shows."""

import numpy as np
import pytest

from trainer_image import validation
from trainer_image.validation import Validation


@pytest.mark.parametrize(("products", "k"), [(6, 5), (10, 5), (19, 5), (20, 10), (100, 50), (199, 50), (1500, 100)])
def test_early_stopping_watches_a_recall_that_can_still_rise(products: int, k: int) -> None:
    assert validation.watched(products) == k


def test_spread_is_the_share_of_the_length_that_differs() -> None:
    """By hand: (3, 4) and (3, -4) have the mean (3, 0), are 4 away from it, and 5 long."""
    assert validation.spread(np.array([[3.0, 4.0], [3.0, -4.0]])) == pytest.approx(0.8)
    assert validation.spread(np.array([[3.0, 4.0], [3.0, 4.0]])) == 0.0
    assert validation.spread(np.zeros((3, 2))) == 0.0


def test_a_collapse_is_named() -> None:
    assert Validation({5: 0.1}, 0.5, 0.5).collapsed == ""
    assert Validation({5: 0.1}, 1e-4, 0.5).collapsed == "customers"
    assert Validation({5: 0.1}, 1e-4, 0.0).collapsed == "customers and products"
