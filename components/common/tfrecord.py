"""Arrow record batches as TFRecords of tf.train.Example, a column at a time.

No Python code runs for a row; the one call for a row is that of the checksum, from C to C.

An Example is a protobuf message, so its bytes are the concatenation of tags, lengths and payloads. For one column
everything before the payload depends only on the payload's length. The codec therefore builds a prefix for every
distinct length, looks it up for all rows at once, and joins prefixes and payloads row by row inside Arrow.

Wire encoding: https://protobuf.dev/programming-guides/encoding/
Example and Feature: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto
TFRecord framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute

from components.common.errors import InputError

# pyarrow's type stubs know too little of its kernels.
pc: Any = pyarrow.compute
BinaryArray: TypeAlias = Any

# A protobuf tag is field number << 3 | wire type; wire type 2 is "length, then bytes".
MAP_KEY, MAP_VALUE = b"\x0a", b"\x12"
FEATURES = FEATURE_ENTRY = VALUES = b"\x0a"
BYTES_LIST, FLOAT_LIST, INT64_LIST = b"\x0a", b"\x12", b"\x1a"
CRC_MASK_DELTA = 0xA282EAD8
MAX_VARINT_BYTES = 10
NO_SEPARATOR = b""


def encode(batch: pa.RecordBatch) -> memoryview:
    """Frames every row of a batch as one TFRecord that holds a tf.train.Example.

    Args:
        batch: Columns of string, list of string, integer or float type, without nulls; floats become float32. Strings
            may come as dictionaries.

    Returns:
        The records one after another, ready to be compressed and appended to a TFRecord file.

    Raises:
        InputError: a column with nulls or of another type.
    """
    return block(records(batch))


def records(batch: pa.RecordBatch) -> BinaryArray:
    """The framed records of a batch, one a row, to be filtered and made into blocks; see `encode`."""
    return _framed(_examples(batch)) if batch.num_rows else pa.array([], pa.binary())


def block(framed: BinaryArray) -> memoryview:
    """The bytes of all records, which lie in one piece."""
    if not len(framed):
        return memoryview(b"")
    offsets = np.frombuffer(framed.buffers()[1], np.int32)
    return memoryview(framed.buffers()[2])[offsets[framed.offset] : offsets[framed.offset + len(framed)]]


def _examples(batch: pa.RecordBatch) -> BinaryArray:
    """Serialized Examples [rows]."""
    parts = [
        part for name, column in zip(batch.schema.names, batch.columns, strict=True) for part in _feature(name, column)
    ]
    lengths = sum(pc.binary_length(part).to_numpy() for part in parts)
    header = _by_length(pa.array(lengths), lambda n: FEATURES + _varint(n))
    return pc.binary_join_element_wise(header, *parts, NO_SEPARATOR)


def _feature(name: str, column: Any) -> list[BinaryArray]:
    """One column's map entries: arrays [rows] that, joined row by row, give the bytes."""
    if column.null_count:
        found = f"{column.null_count} nulls in {len(column)} rows"
        raise InputError(f"column {name}", found, "a value in every row", "Fill or leave out these rows in the source.")
    if pa.types.is_dictionary(column.type):  # every distinct value is encoded once
        distinct = pc.binary_join_element_wise(*_feature(name, column.dictionary), NO_SEPARATOR)
        return [distinct.take(column.indices)]
    return [*_entries(name, column)]


def _entries(name: str, column: Any) -> tuple[BinaryArray, BinaryArray]:
    """The bytes [rows] before a column's values, and the values [rows]."""
    kind = column.type
    if pa.types.is_list(kind) and _is_text(kind.value_type):
        values = _strings(name, column)  # every string of a list carries its own tag and length
        return _by_length(pc.binary_length(values), lambda n: _entry(name, BYTES_LIST, b"", n)), values
    if pa.types.is_floating(kind):
        list_tag, values = FLOAT_LIST, _fixed32(column.to_numpy(zero_copy_only=False).astype("<f4"))
    elif pa.types.is_integer(kind):
        list_tag, values = INT64_LIST, _varints(column.to_numpy(zero_copy_only=False).astype(np.int64))
    elif _is_text(kind):
        list_tag, values = BYTES_LIST, column.cast(pa.string()).cast(pa.binary())
    else:
        expected, remedy = "string, list of string, integer or float", "Cast it in the query."
        raise InputError(f"column {name}", f"type {kind}", expected, remedy)
    return _by_length(pc.binary_length(values), lambda n: _entry(name, list_tag, VALUES + _varint(n), n)), values


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _entry(name: str, list_tag: bytes, in_front: bytes, length: int) -> bytes:
    """All bytes of one entry of the map Features.feature that precede `length` bytes of values.

    Args:
        name: The key.
        list_tag: Of the list in the Feature's oneof.
        in_front: What the list has before its values: tag and length of a packed field or of a single string.
        length: Bytes of the values.
    """
    feature = list_tag + _varint(len(in_front) + length) + in_front
    key = MAP_KEY + _varint(len(name.encode())) + name.encode()
    value = MAP_VALUE + _varint(len(feature) + length) + feature
    return FEATURE_ENTRY + _varint(len(key) + len(value) + length) + key + value


def _strings(name: str, column: Any) -> BinaryArray:
    """Lists of strings [rows], each string with its tag and length in front."""
    texts = column.flatten().cast(pa.string()).cast(pa.binary())
    if texts.null_count:
        found = f"{texts.null_count} nulls in lists"
        raise InputError(f"column {name}", found, "lists of strings", "Leave out the nulls in the source.")
    tagged = pc.binary_join_element_wise(
        _by_length(pc.binary_length(texts), lambda n: VALUES + _varint(n)), texts, NO_SEPARATOR
    )
    # A list's strings lie one after another, so a list is the bytes from where its first begins to where its last ends.
    ends = np.frombuffer(tagged.buffers()[1], np.int32)[tagged.offset : tagged.offset + len(tagged) + 1]
    counts = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    offsets = np.ascontiguousarray(ends[np.concatenate([[0], np.cumsum(counts)])])
    return pa.Array.from_buffers(pa.binary(), len(column), [None, pa.py_buffer(offsets.data), tagged.buffers()[2]])


def _framed(records: BinaryArray) -> BinaryArray:
    """Length, masked CRC of the length, data, masked CRC of the data: one TFRecord a row."""
    checksums = np.fromiter(map(google_crc32c.value, records.to_pylist()), np.uint64, len(records))
    footer = _fixed32(_masked(checksums).astype("<u4"))
    return pc.binary_join_element_wise(
        _by_length(pc.binary_length(records), _frame_head), records, footer, NO_SEPARATOR
    )


def _frame_head(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    checksum = np.array([google_crc32c.value(packed)], np.uint64)
    return packed + _masked(checksum).astype("<u4").tobytes()


def _masked(checksums: np.ndarray) -> np.ndarray:
    """CRC-32C rotated right by 15 bits plus a constant, modulo 2^32 (uint64 in, uint64 out)."""
    rotated = (checksums >> np.uint64(15)) | (checksums << np.uint64(17))
    return ((rotated & np.uint64(0xFFFFFFFF)) + np.uint64(CRC_MASK_DELTA)) & np.uint64(0xFFFFFFFF)


def _by_length(lengths: pa.Array, make: Callable[[int], bytes]) -> BinaryArray:
    """make(length) for every row, called once for each distinct length."""
    distinct: Any = pc.dictionary_encode(lengths)
    return pa.array([make(n) for n in distinct.dictionary.to_pylist()], pa.binary()).take(distinct.indices)


def _varint(number: int) -> bytes:
    """Base-128, least significant group first, high bit set on all bytes but the last."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varints(numbers: np.ndarray) -> BinaryArray:
    """int64 [rows] as varints; negative numbers take ten bytes, as two's complement."""
    shifts = np.arange(MAX_VARINT_BYTES, dtype=np.uint64) * np.uint64(7)
    shifted = numbers.view(np.uint64)[:, None] >> shifts
    lengths = np.maximum((shifted > 0).sum(axis=1), 1)
    groups = (shifted & np.uint64(127)).astype(np.uint8)
    place = np.arange(MAX_VARINT_BYTES)
    groups[place < lengths[:, None] - 1] |= 128
    offsets = np.zeros(len(numbers) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    data = groups[place < lengths[:, None]]
    return pa.Array.from_buffers(pa.binary(), len(numbers), [None, pa.py_buffer(offsets.data), pa.py_buffer(data.data)])


def _fixed32(words: np.ndarray) -> BinaryArray:
    """Four little-endian bytes a row."""
    array = pa.Array.from_buffers(pa.binary(4), len(words), [None, pa.py_buffer(np.ascontiguousarray(words).data)])
    return array.cast(pa.binary())
