import numpy as np
import pytest

from components.evaluator import baselines
from tests.components.evaluator.by_hand import purchases


def test_ease_solves_one_ridge_regression_a_product() -> None:
    """Each column of B regresses a product on all others, with the ridge penalty: solved column by column here."""
    rng = np.random.default_rng(5)
    counts = rng.poisson(0.5, (300, 12))
    bought = np.log(1.0 + counts)
    penalty = 0.1 * np.square(bought).sum() / 12
    weights = np.zeros((12, 12))
    for product in range(12):
        others = np.delete(np.arange(12), product)
        x, y = bought[:, others], bought[:, product]
        weights[others, product] = np.linalg.solve(x.T @ x + penalty * np.eye(11), x.T @ y)
    found = baselines.ease(purchases(counts))(slice(0, 300))
    np.testing.assert_allclose(found, bought @ weights, atol=1e-6)


def test_ease_of_a_sample_has_the_scale_of_all_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.tile([[1, 1, 0], [0, 1, 2]], (500, 1))
    whole = baselines._together(purchases(counts), block=64)
    once, twice = np.log(2), np.log(3)
    row = [
        [once * once, once * once, 0],
        [once * once, 2 * once * once, once * twice],
        [0, once * twice, twice * twice],
    ]
    np.testing.assert_allclose(whole, 500 * np.array(row), rtol=1e-12)
    monkeypatch.setattr(baselines, "EASE_CUSTOMERS", 400)
    np.testing.assert_allclose(baselines._together(purchases(counts), block=64), whole, rtol=0.15)
