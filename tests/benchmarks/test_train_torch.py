"""PyTorch's losses, gradients and towers against NumPy in float64; skipped where PyTorch is not installed."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import train_rows, train_torch  # noqa: E402
from benchmarks.train_data import make  # noqa: E402


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(target)), target]).mean())


def left_out(target: np.ndarray) -> np.ndarray:
    """Pairs of rows [B, B] of one product, by a loop."""
    pairs = np.zeros((len(target), len(target)), bool)
    for row, own in enumerate(target):
        for other, product in enumerate(target):
            pairs[row, other] = row != other and own == product
    return pairs


def test_full_catalogue() -> None:
    random = np.random.default_rng(3)
    queries, candidates = random.normal(size=(6, 5)), random.normal(size=(9, 5))
    target = np.array([4, 0, 4, 2, 7, 1])
    found = train_torch.full_catalogue(*map(torch.tensor, (queries, candidates, target)))
    assert float(found) == pytest.approx(cross_entropy(queries @ candidates.T, target), rel=1e-12)


def test_in_batch_with_correction_and_without_accidental_hits() -> None:
    random = np.random.default_rng(4)
    queries, bought = random.normal(size=(6, 5)), random.normal(size=(6, 5))
    target = np.array([4, 0, 4, 2, 4, 1])
    log_share = np.log(np.array([0.3, 0.2, 0.3, 1e-7, 0.3, 0.05]))
    logits = np.where(left_out(target), -np.inf, queries @ bought.T - log_share[None, :])
    found = train_torch.in_batch(*map(torch.tensor, (queries, bought, target, log_share)))
    assert float(found) == pytest.approx(cross_entropy(logits, np.arange(6)), rel=1e-12)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> train_rows.Encoded:
    folder = tmp_path_factory.mktemp("torch") / "log"
    make(str(folder), rows=8_000, customers=200, products=110, seed=3)
    return train_rows.encoded(str(folder), "train")


def embedded(tower: Any, ids: dict[str, np.ndarray], numbers: np.ndarray | None) -> np.ndarray:
    """The tower in NumPy, from its weights."""
    weight = {name: value.detach().numpy().astype(np.float64) for name, value in tower.named_parameters()}
    parts = [weight[f"tables.{name}.weight"][index] for name, index in ids.items()]
    hidden = np.concatenate([*parts, *([] if numbers is None else [numbers[:, None]])], axis=1)
    for place in range(3):
        hidden = hidden @ weight[f"dense.{2 * place}.weight"].T + weight[f"dense.{2 * place}.bias"]
        hidden = np.maximum(hidden, 0) if place < 2 else hidden
    return hidden


@pytest.mark.parametrize("loss", train_torch.LOSSES)
@pytest.mark.parametrize("sparse", [False, True])
def test_the_loss_of_a_batch(data: train_rows.Encoded, loss: str, sparse: bool) -> None:
    torch.manual_seed(5)
    model = train_torch.TwoTower(data, loss, sparse)
    rows = np.arange(64)
    columns = [column[rows] for column in (data.customer, data.city, data.revenue, data.target)]
    with torch.no_grad():
        found = float(model(*map(torch.from_numpy, columns)))

    queries = embedded(model.query, {"customer": data.customer[rows], "city": data.city[rows]}, data.revenue[rows])
    names = ("product", "category", "subcategory", "cross")
    candidates = embedded(model.candidate, {name: getattr(data, name) for name in names}, None)
    target = data.target[rows]
    if loss == "full-catalogue":
        expected = cross_entropy(queries @ candidates.T, target)
    else:
        logits = queries @ candidates[target].T - np.log(data.share.astype(np.float64))[target]
        expected = cross_entropy(np.where(left_out(target), -np.inf, logits), np.arange(64))
    kernels = [value for name, value in model.named_parameters() if "dense" in name and name.endswith("weight")]
    assert len(kernels) == 6
    expected += 1e-6 * sum(np.abs(kernel.detach().numpy().astype(np.float64)).sum() for kernel in kernels)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", train_torch.LOSSES)
@pytest.mark.parametrize("sparse", [False, True])
def test_training_trains(data: train_rows.Encoded, loss: str, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an epoch the loss on all rows is lower than before, and the rate is a number."""
    monkeypatch.setattr(train_torch, "BATCH", 256)
    monkeypatch.setattr(
        train_torch.os, "cpu_count", lambda: 1
    )  # threads that wait for each other crawl on a busy machine
    two_tower, models = train_torch.TwoTower, []

    def kept(*arguments: Any) -> Any:
        models.append(two_tower(*arguments))
        return models[-1]

    monkeypatch.setattr(train_torch, "TwoTower", kept)
    rate = train_torch.contestant(data, loss=loss, compiled=False, sparse=sparse)
    columns = [torch.from_numpy(column[:512]) for column in (data.customer, data.city, data.revenue, data.target)]
    with torch.no_grad():
        before = float(models[0](*columns))
    assert 0 < rate(60) < np.inf
    with torch.no_grad():
        assert float(models[0](*columns)) < before - 0.05
