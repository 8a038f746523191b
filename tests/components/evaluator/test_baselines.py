import numpy as np
import pytest

from components.evaluator import baselines
from components.evaluator.history import Purchases, _Fold


def purchases(bought: np.ndarray) -> Purchases:
    """Of customers x products with counts."""
    fold = _Fold()
    owner, product = np.nonzero(bought)
    times = bought[owner, product]
    fold.add(np.repeat(owner, times), np.repeat(product, times), bought.shape[1])
    return Purchases(fold.total, *bought.shape)


def test_ease_solves_one_ridge_regression_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column of B regresses a product on all others, with the ridge penalty: solved column by column here."""
    rng = np.random.default_rng(5)
    counts = rng.poisson(0.5, (300, 12))
    monkeypatch.setattr(baselines, "RIDGE", 7.0)
    bought = (counts > 0).astype(np.float64)
    weights = np.zeros((12, 12))
    for product in range(12):
        others = np.delete(np.arange(12), product)
        x, y = bought[:, others], bought[:, product]
        weights[others, product] = np.linalg.solve(x.T @ x + 7.0 * np.eye(11), x.T @ y)
    found = baselines.ease(purchases(counts))(slice(0, 300))
    np.testing.assert_allclose(found, bought @ weights, atol=1e-6)


def test_ease_of_a_sample_has_the_scale_of_all_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.tile([[1, 1, 0], [0, 1, 2]], (500, 1))
    whole = baselines._together(purchases(counts), block=64)
    assert whole.tolist() == [[500, 500, 0], [500, 1000, 500], [0, 500, 500]]
    monkeypatch.setattr(baselines, "EASE_CUSTOMERS", 400)
    np.testing.assert_allclose(baselines._together(purchases(counts), block=64), whole, rtol=0.15)
