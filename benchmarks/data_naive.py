"""The obvious way, as Beam's and TensorFlow's tutorials show it.

One tf.train.Example a row through WriteToTFRecord, and one Beam element a token through Count.PerElement.
"""

import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.options.pipeline_options import PipelineOptions

from components.common import schema

RUNNER = ["--runner=FnApiRunner"]
TEXTS = ("cust_person_id", "city", "art_name", "stratbuy_domain_desc", "mge_main_cat_desc")
COUNTED = ("cust_person_id", "product_id", "city", "stratbuy_domain_desc", "mge_main_cat_desc")


def to_example(row: dict[str, Any]) -> bytes:
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[row[name].encode()])) for name in TEXTS}
    for name in ("product_id", "timestamp"):
        feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[row[name]]))
    feature["revenue"] = tf.train.Feature(float_list=tf.train.FloatList(value=[row["revenue"]]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def place(row: dict[str, Any], _: int) -> int:
    return schema.SPLITS.index(row["split"])


def extract(rows: str, output: str) -> None:
    """One tf.train.Example a row, from the stored rows, through WriteToTFRecord."""
    shutil.rmtree(output, ignore_errors=True)
    with beam.Pipeline(options=PipelineOptions(RUNNER)) as pipeline:
        read = pipeline | beam.io.ReadFromParquet(rows) | beam.Filter(lambda row: row["dropped"] is None)
        splits = read | beam.Partition(place, len(schema.SPLITS))  # type: ignore[arg-type]  # a function is what it takes
        for name, split in zip(schema.SPLITS, splits, strict=True):
            _ = (
                split
                | f"Encode {name}" >> beam.Map(to_example)
                | f"Write {name}"
                >> beam.io.WriteToTFRecord(
                    f"{output}/{name}/part",
                    file_name_suffix=".tfrecord.gz",
                    num_shards=4,
                    compression_type=CompressionTypes.GZIP,
                )
            )


def tokens(record: bytes) -> Iterator[tuple[str, Any]]:
    feature = tf.train.Example.FromString(record).features.feature
    for name in COUNTED:
        value = feature[name].int64_list.value if name == "product_id" else feature[name].bytes_list.value
        yield name, value[0]


def revenue(record: bytes) -> float:
    return float(tf.train.Example.FromString(record).features.feature["revenue"].float_list.value[0])


class Moments(beam.CombineFn):
    """Count, sum and sum of squares."""

    def create_accumulator(self) -> tuple[int, float, float]:
        return 0, 0.0, 0.0

    def add_input(self, moments: tuple[int, float, float], value: float) -> tuple[int, float, float]:
        return moments[0] + 1, moments[1] + value, moments[2] + value * value

    def merge_accumulators(self, parts: Any) -> tuple[int, float, float]:
        counts, sums, squares = zip(*parts, strict=True)
        return sum(counts), sum(sums), sum(squares)

    def extract_output(self, moments: tuple[int, float, float]) -> tuple[int, float, float]:
        return moments


def vocabularies(examples: str) -> None:
    """One Beam element a token, counted per element; no quantiles."""
    with tempfile.TemporaryDirectory() as folder, beam.Pipeline(options=PipelineOptions(RUNNER)) as pipeline:
        records = pipeline | beam.io.ReadFromTFRecord(f"{examples}/train/part-*.tfrecord.gz")
        _ = (
            records
            | beam.FlatMap(tokens)
            | beam.combiners.Count.PerElement()
            | beam.Map(repr)
            | beam.io.WriteToText(f"{folder}/tokens")
        )
        _ = (
            records
            | beam.Map(revenue)
            | beam.CombineGlobally(Moments())
            | "Text" >> beam.Map(repr)
            | "Write" >> beam.io.WriteToText(f"{folder}/revenue")
        )
