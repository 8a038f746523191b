"""The codec against TensorFlow's own reader and parser."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common import tfrecord
from components.common.errors import InputError

TEXT = st.one_of(st.text(max_size=300), st.sampled_from(["", "🧀", "Крупа «Ясно солнышко»", "a\nb\0c", "x" * 20_000]))
INT64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, 127, 128, 2**63 - 1, -1, -(2**63)]))
FLOAT = st.floats(width=32, allow_nan=True, allow_infinity=True)
ROWS = st.lists(st.tuples(TEXT, INT64, FLOAT), min_size=1, max_size=40)


def parsed(records: list[bytes]) -> list[dict[str, list]]:
    """tf.train.Example messages as {column: values}, by protobuf itself."""
    out = []
    for record in records:
        features = tf.train.Example.FromString(record).features.feature
        out.append({name: list(getattr(f, f.WhichOneof("kind")).value) for name, f in features.items()})
    return out


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_tensorflow_reads_the_same_values(rows: list[tuple[str, int, float]], tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    text, number, real = zip(*rows, strict=True)
    batch = pa.record_batch(
        {"имя": pa.array(text), "product_id": pa.array(number, pa.int64()), "revenue": pa.array(real, pa.float32())}
    )
    path = tmp_path_factory.mktemp("records") / "part.tfrecord"
    path.write_bytes(tfrecord.encode(batch))

    # The reader checks the CRC of every length and of all data. A TFRecordDataset of one file takes ten times as long.
    read = parsed(list(tf.compat.v1.io.tf_record_iterator(str(path))))

    assert [row["имя"] for row in read] == [[value.encode()] for value in text]
    assert [row["product_id"] for row in read] == [[value] for value in number]
    np.testing.assert_array_equal(
        np.array([row["revenue"] for row in read], np.float32).ravel(), np.array(real, np.float32)
    )


def test_column_types_that_sources_give() -> None:
    columns = {
        "a": pa.array(["x", "yy"], pa.large_string()),
        "b": pa.array([1, -2], pa.int32()),
        "c": pa.array([0.1, 1e30], pa.float64()),
        "d": pa.array(["skipped", "p", "q"]).slice(1),
        "e": pa.array(["z", "ы", "z"]).dictionary_encode().slice(1),
    }
    block = tfrecord.encode(pa.record_batch(columns))
    read = parsed([record for _, record in _split(block)])
    assert [row["a"] for row in read] == [[b"x"], [b"yy"]]
    assert [row["b"] for row in read] == [[1], [-2]]
    assert [row["c"] for row in read] == [[np.float32(0.1)], [np.float32(1e30)]]
    assert [row["d"] for row in read] == [[b"p"], [b"q"]]
    assert [row["e"] for row in read] == [["ы".encode()], [b"z"]]


def test_blocks_make_one_gzip_file(tmp_path: Path) -> None:
    batches = [pa.record_batch({"n": pa.array(range(start, start + 5))}) for start in (0, 5)]
    path = tmp_path / "part.tfrecord.gz"
    path.write_bytes(b"".join(gzip.compress(tfrecord.encode(batch)) for batch in batches))
    records = list(tf.data.TFRecordDataset(str(path), compression_type="GZIP").as_numpy_iterator())
    assert [row["n"] for row in parsed(records)] == [[n] for n in range(10)]


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    data = bytearray(tfrecord.encode(pa.record_batch({"n": pa.array([1, 2, 3])})))
    data[20] ^= 1
    (tmp_path / "part.tfrecord").write_bytes(data)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(tmp_path / "part.tfrecord")).as_numpy_iterator())


def test_no_rows_are_no_bytes() -> None:
    assert tfrecord.encode(pa.record_batch({"n": pa.array([], pa.int64())})) == b""


def test_nulls_are_refused() -> None:
    with pytest.raises(InputError, match="column city: found 1 nulls in 2 rows"):
        tfrecord.encode(pa.record_batch({"city": pa.array(["a", None])}))


def test_other_types_are_refused() -> None:
    with pytest.raises(InputError, match=r"column tags: found type list<.*string, list of string, integer or float"):
        tfrecord.encode(pa.record_batch({"tags": pa.array([[1], [2]])}))


def test_a_list_with_a_null_is_refused() -> None:
    with pytest.raises(InputError, match="column tags: found 1 nulls in lists, expected lists of strings"):
        tfrecord.encode(pa.record_batch({"tags": pa.array([["a", None], ["b"]])}))


@settings(max_examples=60, deadline=None)
@given(
    lists=st.lists(st.lists(TEXT, max_size=5), min_size=3, max_size=20),
    kind=st.sampled_from([pa.list_(pa.string()), pa.list_(pa.large_string())]),
)
def test_tensorflow_reads_the_same_lists(lists: list[list[str]], kind: pa.DataType) -> None:
    whole = pa.record_batch({"tags": pa.array(lists, kind), "n": pa.array(range(len(lists)))})
    batch = whole.slice(1, len(lists) - 2)  # as a filter leaves it: not from the buffers' start
    records = [record for _, record in _split(tfrecord.encode(batch))]
    spec = {"tags": tf.io.RaggedFeature(tf.string), "n": tf.io.FixedLenFeature([], tf.int64)}
    read = tf.io.parse_example(records, spec)
    assert read["tags"].to_list() == [[text.encode() for text in row] for row in lists[1:-1]]
    assert read["n"].numpy().tolist() == list(range(1, len(lists) - 1))


def _split(block: memoryview) -> list[tuple[int, bytes]]:
    """Records of a block, by the lengths in front of them."""
    records, place = [], 0
    while place < len(block):
        length = int.from_bytes(block[place : place + 8], "little")
        records.append((length, bytes(block[place + 12 : place + 12 + length])))
        place += 16 + length
    return records
