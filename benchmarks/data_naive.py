"""The obvious way, as Beam's and TensorFlow's tutorials show it.

One tf.train.Example a row through WriteToTFRecord, and one Beam element a token through Count.PerElement.
"""

import json
import operator
import shutil
import tempfile
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.options.pipeline_options import PipelineOptions

from components.common import schema

RUNNER = ["--runner=FnApiRunner"]
TEXTS = ("cust_person_id", "city", "art_name", "stratbuy_domain_desc", "mge_main_cat_desc")
COUNTED = ("product_id", "cust_person_id", "city", "stratbuy_domain_desc", "mge_main_cat_desc")


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


def values(record: bytes) -> dict[str, Any]:
    """The Example's features as Python values."""
    feature = tf.train.Example.FromString(record).features.feature
    read: dict[str, Any] = {name: feature[name].bytes_list.value[0].decode() for name in COUNTED[1:]}
    read["product_id"] = feature["product_id"].int64_list.value[0]
    return {**read, "revenue": feature["revenue"].float_list.value[0]}


class Moments(beam.CombineFn):
    """Count, sum, sum of squares, smallest and largest."""

    def create_accumulator(self) -> tuple[float, ...]:
        return 0, 0.0, 0.0, float("inf"), float("-inf")

    def add_input(self, moments: tuple[float, ...], value: float) -> tuple[float, ...]:
        count, total, squares, least, largest = moments
        return count + 1, total + value, squares + value * value, min(least, value), max(largest, value)

    def merge_accumulators(self, parts: Any) -> tuple[float, ...]:
        counts, sums, squares, least, largest = zip(*parts, strict=True)
        return sum(counts), sum(sums), sum(squares), min(least), max(largest)

    def extract_output(self, moments: tuple[float, ...]) -> tuple[float, ...]:
        return moments


def by_count(counted: list[tuple[Any, int]]) -> str:
    ordered = sorted(((str(token), count) for token, count in counted), key=lambda item: (-item[1], item[0]))
    return json.dumps(ordered, ensure_ascii=False)


def vocabularies(examples: str) -> None:
    """A branch a feature: tokens counted per element and sorted; moments and quantiles of the number."""
    with tempfile.TemporaryDirectory() as folder, beam.Pipeline(options=PipelineOptions(RUNNER)) as pipeline:
        rows = pipeline | beam.io.ReadFromTFRecord(f"{examples}/train/part-*.tfrecord.gz") | beam.Map(values)
        for name in COUNTED:
            _ = (
                rows
                | f"Pick {name}" >> beam.Map(operator.itemgetter(name))
                | f"Count {name}" >> beam.combiners.Count.PerElement()
                | f"List {name}" >> beam.combiners.ToList()
                | f"Sort {name}" >> beam.Map(by_count)
                | f"Write {name}" >> beam.io.WriteToText(f"{folder}/{name}")
            )
        revenue = rows | beam.Map(operator.itemgetter("revenue"))
        for name, combine in (
            ("moments", beam.CombineGlobally(Moments())),
            ("quantiles", beam.ApproximateQuantiles.Globally(num_quantiles=101)),
        ):
            _ = revenue | name >> combine | f"Write {name}" >> beam.io.WriteToText(f"{folder}/{name}")
