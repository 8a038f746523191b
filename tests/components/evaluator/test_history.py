from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from components.common.example_part import Part
from components.evaluator import data, history
from components.evaluator.history import Purchases, _Fold
from tests.components import fake_model

SHARD = "part-00000-of-00001.tfrecord.gz"


def names(*customers: str) -> np.ndarray:
    return np.array([customer.encode() for customer in customers], object)


def test_folding_in_small_steps_adds_up_the_same() -> None:
    rng = np.random.default_rng(1)
    owner, product = rng.integers(-1, 5, 500), rng.integers(-1, 4, 500)
    fold = _Fold()
    for part in np.split(np.arange(500), 50):
        fold.add(owner[part], product[part], size=4)
    table = fold.total
    found = dict(zip(table["pair"].to_pylist(), table["count"].to_pylist(), strict=True))
    known = [(o, p) for o, p in zip(owner.tolist(), product.tolist(), strict=True) if o >= 0 and p >= 0]
    assert found == Counter(o * 4 + p for o, p in known)


@pytest.mark.parametrize("chunk_rows", [1, 3, 1 << 20])
def test_purchases_by_customer_and_city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int) -> None:
    monkeypatch.setattr(history, "CHUNK_ROWS", chunk_rows)
    folder = fake_model.write_examples(tmp_path / "examples", test=[("zoe", 11), ("bob", 12), ("ann", 13)])
    parts = {split: Part(split, [f"{folder}/{split}/{SHARD}"]) for split in ("train", "validation", "test")}
    split = data.read(parts["test"], {})
    found = history.read(parts, split, names("ann", "bob", "cyd"), np.array([14, 13, 12, 11]), ("train",))
    assert split.customers.tolist() == [b"zoe", b"bob", b"ann"]
    purchases = found.by_customer
    assert purchases.dense(slice(0, 4)).tolist() == [[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 1, 3], [1, 0, 0, 0]]
    assert purchases.dense(slice(1, 2)).tolist() == [[0, 1, 2, 0]]
    assert purchases.dense(np.array([3, 0, 2, 3])).tolist() == [[1, 0, 0, 0], [0] * 4, [0, 0, 1, 3], [1, 0, 0, 0]]
    assert purchases.totals().tolist() == [0, 3, 4, 1]
    assert purchases.sums(np.array([1.0, 10.0, 100.0, 1000.0])).tolist() == [0, 210, 3100, 1]
    products, counts = purchases.of(2)
    assert (products.tolist(), counts.tolist()) == ([2, 3], [1, 3])
    assert split.cities.tolist() == [b"Ulm"]
    assert found.by_city.dense(slice(0, 1)).tolist() == [[0, 1, 3, 3]]


def test_purchases_of_validation_may_be_known_too(tmp_path: Path) -> None:
    """zoe and cyd come in validation; cyd buys nothing in the test."""
    rows = [("ann", 11), ("bob", 12), ("ann", 11)], [("ann", 12), ("zoe", 11), ("zoe", 99), ("cyd", 12)]
    folder = fake_model.write_examples(tmp_path / "examples", rows[0], [("ann", 11), ("zoe", 12)], {}, rows[1])
    parts = {split: Part(split, [f"{folder}/{split}/{SHARD}"]) for split in ("train", "validation", "test")}
    split, catalogue = data.read(parts["test"], {}), np.array([11, 12])
    later = history.later([parts["validation"]])
    assert later.customers.tolist() == [b"ann", b"cyd", b"zoe"]
    assert later.sold(np.array([99, 12, 5, 11])).tolist() == [1, 2, 0, 1]
    nothing = history.later([])
    assert (nothing.customers.tolist(), nothing.sold(catalogue).tolist()) == ([], [0, 0])
    found = [
        history.read(parts, split, names("ann", "bob", *more), catalogue, known)
        for more, known in (((), ("train",)), (("zoe", "cyd"), ("train", "validation")))
    ]
    assert split.customers.tolist() == [b"ann", b"zoe"]
    dense = [one.by_customer.dense(slice(0, 4)).tolist() for one in found]
    assert dense == [[[2, 0], [0, 0], [0, 1]], [[2, 1], [1, 0], [0, 1], [0, 1]]]
    assert [one.by_city.dense(slice(0, 1)).tolist() for one in found] == [[[2, 1]], [[3, 2]]]


@pytest.mark.parametrize("seed", range(3))
def test_a_repeat_is_an_earlier_purchase_in_any_split(tmp_path: Path, seed: int) -> None:
    """By brute force over all rows; two rows of one second are not earlier than each other."""
    rng = np.random.default_rng(seed)
    logs = {
        name: [(f"c{rng.integers(4)}", int(rng.integers(10, 16))) for _ in range(rows)]
        for name, rows in (("train", 12), ("validation", 8), ("test", 30))
    }
    folder = fake_model.write_examples(tmp_path / "examples", logs["train"], logs["test"], {}, logs["validation"])
    parts = {split: Part(split, [f"{folder}/{split}/{SHARD}"]) for split in logs}
    split = data.read(parts["test"], {})
    timed = [
        (1000 * number + place // 2, row) for number, rows in enumerate(logs.values()) for place, row in enumerate(rows)
    ]
    expected = [
        any(row == other and earlier < 2000 + place // 2 for earlier, other in timed)
        for place, row in enumerate(logs["test"])
    ]
    found = history.read(parts, split, names("c0"), np.array([10, 11]), ("train",))
    assert found.repeat.tolist() == expected
    assert 0 < sum(expected) < 30


def test_of_no_pairs_nothing_was_bought() -> None:
    nothing = Purchases(_Fold().total, owners=2, size=3)
    assert nothing.totals().tolist() == [0, 0]
    assert nothing.dense(slice(0, 2)).tolist() == [[0, 0, 0], [0, 0, 0]]
