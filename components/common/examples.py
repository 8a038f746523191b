"""Reads Examples: TFRecord files, compressed or not, into column batches. Imports TensorFlow only when it reads.

Which files there are, and whether they are whole, is for `example_set` to say.
"""

import contextlib
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from isal import igzip, igzip_lib

from components.common import splitting, storage
from components.common.errors import InputError
from components.common.reach import there

if TYPE_CHECKING:
    import tensorflow as tf

SHARDS = "part-*.tfrecord.gz"
BATCH = 8192
READ_BYTES = 1 << 20
FILES_AT_A_TIME = 4
LIST_OF = {"string": "bytes_list", "int64": "int64_list", "float": "float_list"}
GZIP = b"\x1f\x8b\x08"  # how a gzip file begins
FRAME = 16  # bytes of a TFRecord beside the record: its length, and two checksums


class Remedies(NamedTuple):
    """What to do about a damaged file, and about a column that is not as it should be."""

    damage: str
    column: str


OURS = Remedies("Run the DataExtractor again.", "Run the DataExtractor with this feature config.")
FOREIGN = Remedies("Copy or write this file again.", "Write it so, or use a feature config that does not read it.")


def remedies(is_ours: bool) -> Remedies:
    """What to do about shards, by whether the DataExtractor wrote them."""
    return OURS if is_ours else FOREIGN


def shards(folder: str) -> list[str]:
    """The shards of one split, sorted.

    Args:
        folder: A folder such as examples/train, local or gs://.

    Raises:
        InputError: the folder holds none.
    """
    files = storage.list_folder(folder, SHARDS)
    if not files:
        raise InputError(folder, f"no {SHARDS}", "the shards of a split", "Check the path, or run the DataExtractor.")
    return files


def dataset(files: list[str], columns: Mapping[str, str], batch: int = BATCH, split: str = "") -> "tf.data.Dataset":
    """Batches of parsed columns, from several files at a time, in the same order every time.

    Args:
        files: Local TFRecord files.
        columns: Column name to type ("string", "int64" or "float").
        batch: Rows of a batch, which come from one file.
        split: Leave out the rows that are not of this split, see `splitting`; "" takes all.

    Returns:
        A dataset of {column: tensor [<= batch]}. Iterate it inside `explained`.
    """
    from components.common.bare_tensorflow import tf

    types = {"string": tf.string, "int64": tf.int64, "float": tf.float32}
    needed = {**columns, **splitting.KEY} if split else columns
    spec = {name: tf.io.FixedLenFeature([], types[kind]) for name, kind in needed.items()}

    @tf.autograph.experimental.do_not_convert
    def parse(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = tf.io.parse_example(rows, spec)
        if not split:
            return raw
        kept = splitting.belongs(raw, split)
        return {name: tf.boolean_mask(raw[name], kept) for name in columns}

    @tf.autograph.experimental.do_not_convert
    def parsed(file: tf.Tensor, compression: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(file, compression_type=compression, buffer_size=READ_BYTES)
        return records.batch(batch).map(parse)

    # Whole batches are handed on: num_parallel_reads hands on single records, at a quarter of the speed.
    width = min(len(files), FILES_AT_A_TIME)
    paths = tf.data.Dataset.from_tensor_slices((files, [_compression(file) for file in files]))
    read = paths.interleave(parsed, cycle_length=width, num_parallel_calls=width, deterministic=True)
    options = tf.data.Options()
    # Its thread sleeps 10 ms, then twice as long each time, and a dataset ends only when it wakes: after 2.6 s, or
    # 5.1, or 10.2, whatever there was to read.
    options.autotune.enabled = False
    return read.prefetch(2).with_options(options)


def batches(files: list[str], columns: Mapping[str, str]) -> Iterator[dict[str, np.ndarray]]:
    """The same as NumPy arrays; strings are objects of type bytes.

    Raises:
        InputError: a damaged file, or an Example without a column or with another type.
    """
    expect_whole(files)
    with explained(files, columns):
        yield from dataset(files, columns).as_numpy_iterator()


def read(files: list[str], columns: Mapping[str, str]) -> dict[str, np.ndarray]:
    """All rows at once: {column: array [rows]}."""
    return joined(files[0], list(batches(files, columns)), columns)


def joined(where: str, parts: list[dict[str, np.ndarray]], columns: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Batches as one: {column: array [rows]}.

    Raises:
        InputError: there are none.
    """
    if not parts:
        raise InputError(where, "no Examples in any shard", "at least one", "Choose another split or more data.")
    return {name: np.concatenate([part[name] for part in parts]) for name in columns}


@contextlib.contextmanager
def explained(files: list[str], columns: Mapping[str, str], remedies: Remedies = OURS) -> Iterator[None]:
    """Turns TensorFlow's reading errors into an InputError that names file, record and column.

    Args:
        files: Those that are read inside. That they are whole has been seen: TensorFlow now and then takes the cut of
            a gzip file for its end.
        columns: The columns that are read.
        remedies: What the errors advise.
    """
    from components.common.bare_tensorflow import tf

    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        for file in files:
            diagnose(file, columns, remedies)
        raise InputError(files[0], str(error), "readable Examples", remedies.damage) from error


def expect_whole(files: list[str], remedies: Remedies = OURS) -> None:
    """Raises InputError where a file is cut off or damaged."""
    for file in files:
        count_rows(file, remedies)


def count_rows(file: str, remedies: Remedies = OURS) -> int:
    """The records of a whole TFRecord file, counted by the lengths that stand before them.

    Raises:
        InputError: the file is cut off or damaged, or has no bytes at all.
    """
    with there(file, "a TFRecord file", remedies.damage), open(file, "rb") as stream:
        is_empty = not stream.read(1)
    if is_empty:
        raise InputError(file, "no byte", "a whole TFRecord file", remedies.damage)
    try:
        return _count_records(file)
    except (EOFError, OSError, igzip_lib.IsalError) as error:  # type: ignore[misc]  # a stub without its base
        diagnose(file, {}, remedies)  # names the record where it can
        raise InputError(file, f"damage ({error})", "a whole gzip TFRecord file", remedies.damage) from None


def _count_records(file: str) -> int:
    rows, rest, skipped = 0, b"", 0  # bytes from where a record begins; how far away the next one begins
    with igzip.open(file) if _compression(file) else open(file, "rb") as stream:
        while data := stream.read(READ_BYTES):
            data, place = rest + data, skipped
            while place + 8 <= len(data):
                place += FRAME + struct.unpack_from("<Q", data, place)[0]
                rows += 1
            rest, skipped = (data[place:], 0) if place < len(data) else (b"", place - len(data))
    if rest or skipped:
        raise EOFError("it ends within a record")
    return rows


def _compression(file: str) -> str:
    """What a file is compressed with, as TensorFlow calls it; "" for nothing."""
    with open(file, "rb") as stream:
        return "GZIP" if stream.read(len(GZIP)) == GZIP or file.endswith(".gz") else ""


def kinds(file: str) -> dict[str, str]:
    """The columns of a file's first Example with their types, in order of their names; none where it has no Example.

    Raises:
        InputError: the file is damaged, or holds no Examples.
    """
    from components.common.bare_tensorflow import tf

    first = tf.data.TFRecordDataset(file, compression_type=_compression(file)).take(1)
    with explained([file], {}, FOREIGN):
        features = [_example(f"{file}, record 0", data, FOREIGN) for data in first.as_numpy_iterator()]
    types = {name: kind for kind, name in LIST_OF.items()}
    found = {}
    for name, feature in sorted(features[0].features.feature.items()) if features else ():
        kind = feature.WhichOneof("kind")
        values = len(getattr(feature, kind).value) if kind else 0
        found[name] = types[kind] if values == 1 else "list<string>"
    return found


def diagnose(file: str, columns: Mapping[str, str], remedies: Remedies) -> None:
    """Raises InputError at the first thing wrong with the file; returns when there is none."""
    from components.common.bare_tensorflow import tf

    record = -1
    try:
        records = tf.data.TFRecordDataset(file, compression_type=_compression(file))
        for record, data in enumerate(records.as_numpy_iterator()):
            example = _example(f"{file}, record {record}", data, remedies)
            for name, kind in columns.items():
                where = f"{file}, record {record}, feature {name}"
                _check_feature(where, example.features.feature, name, kind, remedies.column)
    except tf.errors.DataLossError as error:
        found = f"damage after record {record} ({error.message})"
        raise InputError(file, found, "a whole gzip TFRecord file", remedies.damage) from None


def _example(where: str, data: bytes, remedies: Remedies) -> Any:
    from components.common.bare_tensorflow import tf

    try:
        return tf.train.Example.FromString(data)
    except Exception:
        raise InputError(where, "no Example", "a tf.train.Example", remedies.damage) from None


def _check_feature(where: str, features: Any, name: str, kind: str, remedy: str) -> None:
    if name not in features:
        raise InputError(where, f"only {', '.join(sorted(features))}", f"{name}, a {kind}", remedy)
    found = features[name].WhichOneof("kind")
    values = len(getattr(features[name], found).value) if found else 0
    if found != LIST_OF[kind] or values != 1:
        raise InputError(where, f"{values} values in {found}", f"1 value in {LIST_OF[kind]}", remedy)
