"""The TFRS peer: both losses against NumPy in float64, and training that is watched."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import train_rows, train_tfrs
from benchmarks.train_data import make
from components.common import schema


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tfrs") / "log"
    make(str(folder), rows=8_000, customers=200, products=110, seed=3)
    return str(folder)


@pytest.mark.parametrize("corrected", [False, True])
def test_the_loss_of_a_batch(log: str, corrected: bool) -> None:
    model = train_tfrs.build(train_rows.read_vocabularies(log), corrected=corrected)
    rows = train_rows.raw(log, "train", 64)
    queries = train_tfrs.embed(model.query_tower, rows).astype(np.float64)
    bought = train_tfrs.embed(model.candidate_tower, rows).astype(np.float64)
    assert queries.shape == bought.shape == (64, 32)
    logits = queries @ bought.T
    if corrected:
        logits -= np.log(rows[train_rows.SHARE].astype(np.float64))[None, :]
        product = rows[schema.PRODUCT]
        for row in range(64):
            logits[row, (product == product[row]) & (np.arange(64) != row)] = -np.inf
    top = logits.max(axis=1)
    expected = (np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - np.diag(logits)).sum()
    found = model.compute_loss({name: tf.constant(column) for name, column in rows.items()})
    assert float(found) == pytest.approx(expected, rel=1e-5)
    kernels = [weight for weight in model.trainable_variables if "kernel" in weight.name]
    assert len(kernels) == 6
    penalty = 1e-6 * sum(np.abs(kernel.numpy().astype(np.float64)).sum() for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(penalty, rel=1e-5)


def test_what_is_looked_up(log: str) -> None:
    """Rows that differ in one feature have different embeddings; unseen tokens share one."""
    model = train_tfrs.build(train_rows.read_vocabularies(log), corrected=True)
    rows = {name: np.repeat(column[:1], 5) for name, column in train_rows.raw(log, "train", 1).items()}
    rows[schema.CUSTOMER] = np.array([*rows[schema.CUSTOMER][:3], b"nobody", b"no one"], object)
    rows["city"] = np.array([rows["city"][0], b"nowhere", *rows["city"][:3]], object)
    rows["revenue"] = rows["revenue"] + np.array([0, 0, 100, 0, 0], np.float32)
    found = train_tfrs.embed(model.query_tower, rows)
    np.testing.assert_allclose(found[3], found[4], rtol=1e-6)
    assert all(np.abs(found[0] - found[other]).max() > 1e-6 for other in (1, 2, 3))


def test_training_is_watched_and_ended(log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_tfrs, "BATCH", 512)
    model = train_tfrs.build(train_rows.read_vocabularies(log), corrected=True)
    rows = train_rows.raw(log, "train")
    held = {name: tf.constant(column[:1024]) for name, column in rows.items()}
    before = float(model.compute_loss(held))
    seen: list[tuple[int, float]] = []

    def judge(steps: int, seconds: float) -> bool:
        seen.append((steps, seconds))
        return steps >= 60

    train_tfrs.train(model, rows, judge, every=10, epochs=50)
    assert [steps for steps, _ in seen] == [10, 20, 30, 40, 50, 60]
    assert 0 < seen[0][1] < seen[-1][1]
    assert int(model.optimizer.iterations) == 60
    assert float(model.compute_loss(held)) < before


def test_the_clock_stops_while_the_judge_looks() -> None:
    now = [0.0]
    clock = train_tfrs._Clock(every=2, judge=lambda steps, seconds: bool(now.__setitem__(0, now[0] + 100)))
    clock.set_model(tf.Module())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_tfrs.time, "perf_counter", lambda: now[0])
        clock.on_train_begin()
        for step in range(5):
            now[0] += 1
            clock.on_train_batch_end(step)
    assert clock.seconds == 5
