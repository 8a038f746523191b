from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.evaluator import baselines
from tests.components import fake_model


def test_folding_in_small_steps_adds_up_the_same() -> None:
    rng = np.random.default_rng(1)
    pairs = rng.integers(0, 20, 500)
    tables = (pa.table({"pair": part, "count": np.ones(len(part), np.int64)}) for part in np.split(pairs, 50))
    folded = baselines._fold(tables, rows=30)
    found = dict(zip(folded["pair"].to_pylist(), folded["count"].to_pylist(), strict=True))
    assert found == Counter(pairs.tolist())


def test_purchases_by_customer(tmp_path: Path) -> None:
    folder = fake_model.write_examples(tmp_path / "examples")
    customers = np.array([b"zoe", b"bob", b"ann"], object)
    purchases = baselines.Purchases(
        [f"{folder}/train/part-00000-of-00001.tfrecord.gz"], customers, np.array([14, 13, 12, 11])
    )
    assert purchases.dense(slice(0, 3)).tolist() == [[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 1, 3]]
    assert purchases.dense(slice(1, 2)).tolist() == [[0, 1, 2, 0]]
    assert purchases.totals().tolist() == [0, 3, 4]
    products, counts = purchases.of(2)
    assert (products.tolist(), counts.tolist()) == ([2, 3], [1, 3])
