"""Every kind of feature against values worked out without TensorFlow."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common import feature_config as fc
from components.common.errors import InputError
from trainer_image.features import Encoder, calendar

VOCABULARIES: dict[str, dict[str, Any]] = {
    "city": {"tokens": ["Köln", "Łódź", "北京"], "counts": [3, 2, 1]},
    "product_id": {"tokens": ["9223372036854775807", "0"], "counts": [2, 1]},
    "revenue": {"mean": 10.0, "variance": 4.0, "quantiles": [float(i) for i in range(101)]},
}


def encode(entry: dict[str, Any], **raw: Any) -> np.ndarray:
    tower = fc.Tower.model_validate({"features": [entry]})
    encoded = Encoder(tower, VOCABULARIES, "vocabularies.json")({name: tf.constant(v) for name, v in raw.items()})
    (value,) = encoded.values()
    return value.numpy()


def test_tokens_are_numbered_from_one_and_unknown_ones_are_zero() -> None:
    found = encode({"kind": "text", "name": "city"}, city=["北京", "Köln", "Paris", ""])
    assert found.tolist() == [3, 1, 0, 0]


def test_integer_ids_are_looked_up_as_decimal_text() -> None:
    ids = np.array([0, 2**63 - 1, 7], np.int64)
    assert encode({"kind": "id", "name": "product_id"}, product_id=ids).tolist() == [2, 1, 0]


def test_normalize_has_mean_zero_and_variance_one() -> None:
    found = encode({"kind": "numeric", "name": "revenue"}, revenue=np.array([10, 12, 6], np.float32))
    np.testing.assert_allclose(found, [[0.0], [1.0], [-2.0]], rtol=1e-6)


def test_buckets_are_cut_at_the_quantiles() -> None:
    entry = {"kind": "numeric", "name": "revenue", "transform": "bucketize", "buckets": 4}
    values = np.array([-1, 24.9, 25, 49, 50, 74, 75, 1000], np.float32)
    assert encode(entry, revenue=values).tolist() == np.searchsorted([25, 50, 75], values, side="right").tolist()


@given(st.lists(st.integers(-(2**33), 2**33), min_size=1, max_size=20))
@settings(deadline=None, max_examples=50)
def test_calendar_agrees_with_datetime(seconds: list[int]) -> None:
    found = {
        name: (place.numpy().tolist(), period)
        for name, (place, period) in calendar(tf.constant(seconds, tf.int64)).items()
    }
    dates = [datetime.fromtimestamp(second, UTC) for second in seconds]
    assert found == {
        "hour": ([d.hour for d in dates], 24),
        "weekday": ([d.weekday() for d in dates], 7),
        "day_of_month": ([d.day - 1 for d in dates], 31),
        "month": ([d.month - 1 for d in dates], 12),
    }


def test_cyclical_is_sine_and_cosine_of_each_period() -> None:
    noon_on_a_thursday = 1_700_136_000  # 2023-11-16 12:00 UTC
    entry = {"kind": "temporal", "name": "timestamp", "periods": ["hour", "weekday"]}
    found = encode(entry, timestamp=np.array([noon_on_a_thursday], np.int64))
    angles = [2 * math.pi * 12 / 24, 2 * math.pi * 3 / 7]
    expected = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
    np.testing.assert_allclose(found, [expected], atol=1e-6)


def test_cross_is_tensorflows_own_hashed_cross() -> None:
    left, right = ["a", "a", "b", "ü"], ["x", "y", "x", "x"]
    entry = {"kind": "cross", "names": ["left", "right"], "buckets": 1000}
    found = encode(entry, left=left, right=right)
    columns = [tf.sparse.from_dense(np.array(values)[:, None]) for values in (left, right)]
    expected = tf.sparse.to_dense(tf.sparse.cross_hashed(columns, num_buckets=1000)).numpy().ravel()
    assert found.tolist() == expected.tolist()
    assert len(set(found.tolist())) == 4


def test_a_vocabulary_without_the_feature_is_refused() -> None:
    tower = fc.Tower.model_validate({"features": [{"kind": "text", "name": "colour"}]})
    with pytest.raises(InputError, match=r"vocabularies\.json, feature colour: found no tokens"):
        Encoder(tower, VOCABULARIES, "vocabularies.json")


@pytest.mark.parametrize(("size", "width"), [(49, 8), (50, 16), (500, 32), (5_000, 64), (50_000, 128), (500_000, 256)])
def test_auto_dim(size: int, width: int) -> None:
    assert fc.resolve_dim("auto", size) == width
    assert fc.resolve_dim(24, size) == 24
