"""Every kind of feature against values worked out without TensorFlow (but for the hash of a cross)."""

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
    "product_id": {"tokens": ["9223372036854775807", "0", "-5"], "counts": [2, 1, 1]},
    "revenue": {"mean": 10.0, "variance": 4.0, "quantiles": [float(i) for i in range(101)]},
}
ERA = 400 * 365.2425 * 86_400  # seconds after which the calendar repeats itself, weekdays included


def encode(entry: dict[str, Any], vocabularies: dict[str, Any] | None = None, **raw: Any) -> np.ndarray:
    tower = fc.Tower.model_validate({"features": [entry]})
    encoder = Encoder(tower, VOCABULARIES | (vocabularies or {}), "vocabularies.json")
    encoded = encoder({name: tf.constant(v) for name, v in raw.items()})
    ((key, value),) = encoded.items()
    rows, _ = encoder.tables[key]
    assert value.dtype == (tf.int32 if rows else tf.float32)
    assert not rows or (value.numpy().min() >= 0 and value.numpy().max() < rows)
    return value.numpy()


def number(transform: str, values: list[float], statistics: dict[str, Any], **settings: Any) -> list[Any]:
    entry = {"kind": "numeric", "name": "price", "transform": transform, **settings}
    return encode(entry, {"price": statistics}, price=np.array(values, np.float32)).tolist()


def statistics(values: Any) -> dict[str, Any]:
    """What the VocabBuilder says of a column, by NumPy."""
    column = np.array(values, np.float32).astype(np.float64)
    quantiles = np.quantile(column, np.arange(101) / 100).tolist()
    return {"mean": float(column.mean()), "variance": float(column.var()), "quantiles": quantiles}


def test_tokens_are_numbered_from_one_and_unknown_ones_are_zero() -> None:
    found = encode({"kind": "text", "name": "city"}, city=["北京", "Köln", "Paris", "", "köln", "Köln "])
    assert found.tolist() == [3, 1, 0, 0, 0, 0]


def test_tokens_are_compared_byte_by_byte() -> None:
    """A missing text is the token ""; a letter with its accent as a second character is another text."""
    tokens = ["Caf\u00e9", "", "a\0b", "👩\u200d🌾", "[UNK]"]
    raw = [
        b"Caf\xc3\xa9",
        b"Cafe\xcc\x81",
        b"",
        b"a",
        b"a\0b",
        "👩\u200d🌾".encode(),
        "👩".encode(),
        b"\xff\xfe",
        b"[UNK]",
    ]
    found = encode({"kind": "text", "name": "name"}, {"name": {"tokens": tokens}}, name=raw)
    assert found.tolist() == [1, 0, 2, 0, 3, 4, 0, 0, 5]


@pytest.mark.parametrize("tokens", [["[UNK]", "a"], ["a", "[UNK]", "[[UNK]]"], ["[[UNK]]", "[UNK]", "[[[UNK]]]"]])
def test_no_token_is_taken_for_keras_own(tokens: list[str]) -> None:
    found = encode({"kind": "id", "name": "name"}, {"name": {"tokens": tokens}}, name=[*tokens, "other"])
    assert found.tolist() == [*range(1, len(tokens) + 1), 0]


def test_integer_ids_are_looked_up_as_decimal_text() -> None:
    ids = np.array([0, 2**63 - 1, 7, -5, -(2**63)], np.int64)
    assert encode({"kind": "id", "name": "product_id"}, product_id=ids).tolist() == [2, 1, 0, 3, 0]


def test_normalize_has_mean_zero_and_variance_one() -> None:
    found = encode({"kind": "numeric", "name": "revenue"}, revenue=np.array([10, 12, 6], np.float32))
    np.testing.assert_allclose(found, [[0.0], [1.0], [-2.0]], rtol=1e-6)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False), min_size=2))
@settings(deadline=None, max_examples=50)
def test_normalized_training_values_are_those_of_float64(values: list[float]) -> None:
    column = np.array(values, np.float32).astype(np.float64)
    deviation = column.std()
    expected = (column - column.mean()) / deviation if len(set(values)) > 1 else np.zeros(len(values))
    found = np.array(number("normalize", values, statistics(values)))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_large_numbers_are_told_apart_from_their_mean() -> None:
    """Of 100,000,000 and its neighbour, float32 could hold neither the mean nor the difference from it."""
    values = [100_000_000.0, 100_000_008.0]
    assert number("normalize", values, statistics(values)) == [[-1.0], [1.0]]
    values = [-3e38, 3e38]
    assert number("normalize", values, statistics(values)) == [[-1.0], [1.0]]


def test_numbers_that_training_never_saw() -> None:
    """NaN is the median, 3; what lies beyond the range of training, 1 to 11, is its nearer end."""
    seen = statistics([1, 2, 3, 8, 11])
    expected = [[(x - 5.0) / math.sqrt(14.8)] for x in (3, 1, 1, 11, 11)]
    odd = [math.nan, -math.inf, -3e38, math.inf, 11.5]
    np.testing.assert_allclose(number("normalize", odd, seen), expected, rtol=1e-6)
    # Of five buckets the boundaries are the percentiles 20, 40, 60 and 80: 1.8, 2.6, 5 and 8.6.
    assert number("bucketize", odd, seen, buckets=5) == [2, 0, 0, 4, 4]


@pytest.mark.parametrize("constant", [0.1, -7.0, 0.0, 16_777_217.0])
def test_a_constant_says_nothing_whatever_it_is_later(constant: float) -> None:
    values = [constant, constant + 1, math.nan, math.inf]
    assert number("normalize", values, statistics([constant] * 3)) == [[0.0]] * 4
    assert number("bucketize", values, statistics([constant] * 3)) == [0] * 4


def test_buckets_are_cut_at_the_quantiles() -> None:
    entry = {"kind": "numeric", "name": "revenue", "transform": "bucketize", "buckets": 4}
    values = [-1, 24.9, 25, 49, 50, 74, 75, 1000]
    assert encode(entry, revenue=np.array(values, np.float32)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_boundary_belongs_to_the_bucket_above_it() -> None:
    """0.1, 0.3 and 0.7 are no float32: what reaches serving as such is on the boundary all the same."""
    quantiles = [0.0] * 25 + [0.1] * 25 + [0.3] * 25 + [0.7] * 26
    cuts = np.array([0.1, 0.3, 0.7], np.float32)
    below = np.nextafter(cuts, np.float32(-1))
    found = number("bucketize", [*below, *cuts], {"quantiles": quantiles}, buckets=4)
    assert found == [0, 1, 2, 1, 2, 3]


def test_equal_quantiles_make_one_boundary_and_none_at_the_minimum() -> None:
    """Most rows are 0: no bucket lies below it, because no training row would ever be in there."""
    values = [0.0] * 71 + [1.0] * 15 + [2.0] * 15
    entry = {"kind": "numeric", "name": "price", "transform": "bucketize", "buckets": 100}
    encoder = Encoder(fc.Tower.model_validate({"features": [entry]}), {"price": statistics(values)}, "v")
    assert encoder.tables == {"price_bucket": (3, 8)}
    assert number("bucketize", [-5, 0, 0.5, 1, 1.5, 2, 9], statistics(values), buckets=100) == [0, 0, 0, 1, 1, 2, 2]


@given(
    st.lists(st.integers(-(2**40), 2**40).map(lambda i: float(np.float32(i / 1024))), min_size=1, max_size=50),
    st.lists(st.floats(width=32, allow_nan=False, allow_subnormal=False), max_size=10),
    st.integers(2, 100),
)
@settings(deadline=None, max_examples=50)
def test_a_bucket_counts_the_boundaries_that_are_not_above(seen: list[float], new: list[float], buckets: int) -> None:
    quantiles = statistics(seen)["quantiles"]
    cuts = {float(np.float32(quantiles[round(step * 100 / buckets)])) for step in range(1, buckets)} - {min(seen)}
    expected = [sum(cut <= value for cut in cuts) for value in [*seen, *new]]
    assert number("bucketize", [*seen, *new], statistics(seen), buckets=buckets) == expected


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**33), 2**33), min_size=1, max_size=20))
@settings(deadline=None, max_examples=100)
def test_calendar_agrees_with_datetime(seconds: list[int]) -> None:
    """Before 1970 too, and, because the calendar repeats itself, in years that datetime does not know."""
    found = {
        name: (place.numpy().tolist(), period)
        for name, (place, period) in calendar(tf.constant(seconds, tf.int64)).items()
    }
    dates = [datetime.fromtimestamp(second % int(ERA), UTC) for second in seconds]
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


def test_the_second_before_1970() -> None:
    """1969-12-31 23:59:59 was a Wednesday: places 23, 2, 30 and 11."""
    found = encode({"kind": "temporal", "name": "timestamp"}, timestamp=np.array([-1], np.int64))
    angles = [2 * math.pi * share for share in (23 / 24, 2 / 7, 30 / 31, 11 / 12)]
    expected = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
    np.testing.assert_allclose(found, [expected], atol=1e-6)


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), min_size=1), st.integers(2, 10_000_000))
@settings(deadline=None, max_examples=50)
def test_cross_is_tensorflows_own_hashed_cross(rows: list[tuple[str, str, str]], buckets: int) -> None:
    entry = {"kind": "cross", "names": ["a", "b", "c"], "buckets": buckets}
    raw: dict[str, Any] = {name: [row[i] for row in rows] for i, name in enumerate("abc")}
    found = encode(entry, **raw)
    expected = tf.sparse.cross_hashed([tf.constant(column)[:, None] for column in raw.values()], num_buckets=buckets)
    assert found.tolist() == tf.sparse.to_dense(expected).numpy().ravel().tolist()


def test_a_cross_tells_its_columns_and_their_order_apart() -> None:
    entry = {"kind": "cross", "names": ["left", "right"], "buckets": 10_000_000}
    left, right = ["a", "a", "b", "ü", "", "x", "", "ax"], ["x", "y", "x", "x", "x", "", "", ""]
    assert len(set(encode(entry, left=left, right=right).tolist())) == 8
    assert encode(entry, left=["a"], right=["x"]) != encode(entry, left=["x"], right=["a"])


@pytest.mark.parametrize(
    ("entry", "lacks"),
    [
        ({"kind": "text", "name": "colour"}, "tokens"),
        ({"kind": "id", "name": "revenue"}, "tokens"),
        ({"kind": "numeric", "name": "city"}, "quantiles"),
        ({"kind": "numeric", "name": "city", "transform": "bucketize"}, "quantiles"),
    ],
)
def test_a_vocabulary_without_the_feature_is_refused(entry: dict[str, Any], lacks: str) -> None:
    tower = fc.Tower.model_validate({"features": [entry]})
    with pytest.raises(InputError, match=rf"vocabularies\.json, feature {entry['name']}: found no {lacks}"):
        Encoder(tower, VOCABULARIES, "vocabularies.json")


def test_tables_have_a_row_for_every_code() -> None:
    entries = [
        {"kind": "text", "name": "city"},
        {"kind": "numeric", "name": "revenue"},
        {"kind": "numeric", "name": "revenue", "transform": "bucketize", "buckets": 20, "dim": 12},
        {"kind": "temporal", "name": "timestamp"},
        {"kind": "cross", "names": ["city", "channel"], "buckets": 700},
    ]
    encoder = Encoder(fc.Tower.model_validate({"features": entries}), VOCABULARIES, "vocabularies.json")
    assert encoder.tables == {
        "city": (4, 8),
        "revenue": (0, 0),
        "revenue_bucket": (20, 12),
        "timestamp": (0, 0),
        "city_x_channel": (700, 32),
    }


@pytest.mark.parametrize(("size", "width"), [(49, 8), (50, 16), (500, 32), (5_000, 64), (50_000, 128), (500_000, 256)])
def test_auto_dim(size: int, width: int) -> None:
    assert fc.resolve_dim("auto", size) == width
    assert fc.resolve_dim("auto", size - 1) <= width
    assert fc.resolve_dim(24, size) == 24
