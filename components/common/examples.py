"""Reads `examples/`: gzip TFRecord shards into column batches. Imports TensorFlow only when something is read."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip, igzip_lib

from components.common import storage
from components.common.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

SHARDS = "part-*.tfrecord.gz"
BATCH = 8192
READ_BYTES = 1 << 20
FILES_AT_A_TIME = 4
LIST_OF = {"string": "bytes_list", "int64": "int64_list", "float": "float_list"}


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


def dataset(files: list[str], columns: Mapping[str, str], batch: int = BATCH) -> "tf.data.Dataset":
    """Batches of parsed columns, from several files at a time, in the same order every time.

    Args:
        files: Local gzip TFRecord files.
        columns: Column name to type ("string", "int64" or "float").
        batch: Rows of a batch, which come from one file.

    Returns:
        A dataset of {column: tensor [<= batch]}. Iterate it inside `explained`.
    """
    from components.common.bare_tensorflow import tf

    types = {"string": tf.string, "int64": tf.int64, "float": tf.float32}
    spec = {name: tf.io.FixedLenFeature([], types[kind]) for name, kind in columns.items()}

    parse = tf.autograph.experimental.do_not_convert(lambda rows: tf.io.parse_example(rows, spec))

    @tf.autograph.experimental.do_not_convert
    def parsed(file: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(file, compression_type="GZIP", buffer_size=READ_BYTES)
        return records.batch(batch).map(parse)

    # Whole batches are handed on: num_parallel_reads hands on single records, at a quarter of the speed.
    width = min(len(files), FILES_AT_A_TIME)
    paths = tf.data.Dataset.from_tensor_slices(files)
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
    with explained(files, columns):
        yield from dataset(files, columns).as_numpy_iterator()


def read(files: list[str], columns: Mapping[str, str]) -> dict[str, np.ndarray]:
    """All rows at once: {column: array [rows]}."""
    parts = list(batches(files, columns))
    if not parts:
        raise InputError(files[0], "no Examples in any shard", "at least one", "Choose another split or more data.")
    return {name: np.concatenate([part[name] for part in parts]) for name in columns}


@contextlib.contextmanager
def explained(files: list[str], columns: Mapping[str, str], counted: bool = False) -> Iterator[None]:
    """Turns TensorFlow's reading errors into an InputError that names file, record and column.

    Args:
        files: Those that are read inside.
        columns: The columns that are read.
        counted: The caller compares the number of rows with metadata.json, so that a file which was cut off shows
            without reading every file twice; where it differs, `expect_whole` says which one.
    """
    from components.common.bare_tensorflow import tf

    if not counted:
        expect_whole(files, columns)
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        for file in files:
            _diagnose(file, columns)
        raise InputError(files[0], str(error), "readable Examples", "Run the DataExtractor again.") from error


def expect_whole(files: list[str], columns: Mapping[str, str]) -> None:
    """Raises InputError where a gzip file is cut off: TensorFlow now and then takes the cut for the file's end."""
    for file in files:
        try:
            with igzip.open(file) as stream:
                while stream.read(READ_BYTES):
                    pass
        except (EOFError, OSError, igzip_lib.IsalError) as error:  # type: ignore[misc]  # a stub without its base
            _diagnose(file, columns)  # names the record where it can
            remedy = "Run the DataExtractor again."
            raise InputError(file, f"damage ({error})", "a whole gzip TFRecord file", remedy) from None


def _diagnose(file: str, columns: Mapping[str, str]) -> None:
    """Raises InputError at the first thing wrong with the file; returns when there is none."""
    from components.common.bare_tensorflow import tf

    rewrite = "Run the DataExtractor again."
    record = -1
    try:
        for record, data in enumerate(tf.data.TFRecordDataset(file, compression_type="GZIP").as_numpy_iterator()):
            try:
                example = tf.train.Example.FromString(data)
            except Exception:
                raise InputError(f"{file}, record {record}", "no Example", "a tf.train.Example", rewrite) from None
            for name, kind in columns.items():
                _check_feature(f"{file}, record {record}, feature {name}", example.features.feature, name, kind)
    except tf.errors.DataLossError as error:
        found = f"damage after record {record} ({error.message})"
        raise InputError(file, found, "a whole gzip TFRecord file", rewrite) from None


def _check_feature(where: str, features: Any, name: str, kind: str) -> None:
    remedy = "Run the DataExtractor with this feature config."
    if name not in features:
        raise InputError(where, f"only {', '.join(sorted(features))}", f"{name}, a {kind}", remedy)
    found = features[name].WhichOneof("kind")
    values = len(getattr(features[name], found).value) if found else 0
    if found != LIST_OF[kind] or values != 1:
        raise InputError(where, f"{values} values in {found}", f"1 value in {LIST_OF[kind]}", remedy)
