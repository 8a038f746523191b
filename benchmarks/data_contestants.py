"""What `make bench-data` runs, ours and the obvious way; each returns the number of rows it read.

The obvious way is what Beam's and TensorFlow's tutorials show: one tf.train.Example a row through WriteToTFRecord,
and one Beam element a token through Count.PerElement.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.options.pipeline_options import PipelineOptions

from components.common import schema, storage
from components.data_extractor import sources
from components.data_extractor.extract import extract
from components.data_extractor.parameters import query_parameters
from components.data_extractor.parquet import ParquetSource
from components.vocab_builder.build import build_vocabularies

RUNNER = ["--runner=FnApiRunner"]
TEXTS = ("cust_person_id", "city", "art_name", "stratbuy_domain_desc", "mge_main_cat_desc")
COUNTED = ("cust_person_id", "product_id", "city", "stratbuy_domain_desc", "mge_main_cat_desc")


def extract_ours(purchases: str, products: str, output: str) -> int:
    """The whole DataExtractor: checks, both queries, data report, shards."""
    shutil.rmtree(output, ignore_errors=True)
    extract(purchases=purchases, products=products, output_path=output)
    return int(storage.read_json(f"{output}/data_report.json", "the data report")["rows"]["read"])


def store_rows(purchases: str, products: str, output: str) -> int:
    """The finished rows in a Parquet file, for the naive pipeline: it is spared the query, the checks, the report."""
    with ParquetSource(purchases, products) as source:
        parameters: dict[str, dict[str, Any]] = {
            "judged": {},
            "examples": query_parameters("temporal", 0.8, 0.15, 0, 1),
        }
        for step in sources.STEPS:
            source.materialise(step, sources.query(step, {"purchases": {}, "products": {}}), parameters[step])
        shutil.move(os.path.join(source.folder, "examples.parquet"), output)
    return 0


def to_example(row: dict[str, Any]) -> bytes:
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[row[name].encode()])) for name in TEXTS}
    for name in ("product_id", "timestamp"):
        feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[row[name]]))
    feature["revenue"] = tf.train.Feature(float_list=tf.train.FloatList(value=[row["revenue"]]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def place(row: dict[str, Any], _: int) -> int:
    return schema.SPLITS.index(row["split"])


def extract_naive(rows: str, output: str) -> int:
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
    return 0


def vocabularies_ours(examples: str) -> int:
    """The whole VocabBuilder."""
    with tempfile.TemporaryDirectory() as folder:
        return int(build_vocabularies(examples=examples, output_path=f"{folder}/vocabularies.json")["rows"])


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


def vocabularies_per_row(examples: str) -> int:
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
    return 0
