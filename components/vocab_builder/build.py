"""From the train split to vocabularies.json, in one Beam pipeline."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from components.common import beam as beam_runs
from components.common import examples as example_files
from components.common import progress, schema, staging, storage
from components.common.claims import claiming_file
from components.common.errors import InputError
from components.common.feature_config import FeatureConfig, IdFeature, NumericFeature, TextFeature
from components.common.feature_config import load as load_config
from components.common.shipped import FEATURE_CONFIG
from components.common.vocabularies import FORMAT_VERSION
from components.vocab_builder.accumulator import Accumulator, merged

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

BATCH = 32_768  # rows: the larger, the fewer distinct values there are in all batches together

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: no CUDA notes on a CPU machine


@claiming_file
def build_vocabularies(
    *, examples: str, output_path: str, feature_config: str = FEATURE_CONFIG, beam_options: str = ""
) -> dict[str, Any]:
    """Counts the tokens and measures the numbers of the train split; validation and test rows are not read.

    Args:
        examples: The DataExtractor's folder, local or gs://.
        feature_config: The feature config: its path, or its YAML or JSON text; by default the one that is shipped.
        output_path: The file to write, local or gs://; must be free.
        beam_options: Apache Beam options, for example "--runner=DataflowRunner --project=... --region=...
            --temp_location=gs://... --sdk_container_image=..."; "" runs in this process. On a command line write
            --beam-options="--runner=...", with the equals sign.

    Returns:
        The content of vocabularies.json (components/common/vocabularies.py describes it).

    Raises:
        InputError: unfinished or damaged examples, a column that they lack; then nothing is left at output_path.
    """
    columns = read_columns(load_config(feature_config))
    options = beam_runs.options(beam_options)
    expected = schema.read_metadata(storage.join(examples, schema.METADATA))["splits"]["train"]["rows"]
    shards = example_files.shards(storage.join(examples, "train"))
    with _scratch(output_path, options) as scratch, progress.shown("Counting tokens", expected):
        _run(shards, columns, scratch, options)
        document = storage.read_json(scratch, "the pipeline's result")
    if document["rows"] != expected:
        _check_shards(shards, columns)
        found, remedy = f"{document['rows']:,} rows in {len(shards)} shards", "Run the DataExtractor again."
        raise InputError(f"{examples}/train", found, f"{expected:,}, as metadata.json says", remedy)
    storage.publish_file(output_path, storage.to_json(document))
    return document


def read_columns(config: FeatureConfig) -> dict[str, str]:
    """The columns that need a vocabulary or statistics, with their types; customer and product always do."""
    columns: dict[str, str] = {name: schema.EXAMPLE[name] for name in (schema.CUSTOMER, schema.PRODUCT)}
    for feature in config.entries():
        if isinstance(feature, IdFeature | TextFeature | NumericFeature):
            columns.update(feature.columns)
    return columns


def _run(shards: list[str], columns: Mapping[str, str], result_path: str, options: "PipelineOptions") -> None:
    import apache_beam as beam

    beam_runs.name_job(options, result_path)
    pipeline = beam.Pipeline(options=options)
    _ = (
        pipeline
        # Here one worker reads several shards at a time; on other machines each shard is for any of them.
        | "Shards" >> beam.Create([[shard] for shard in shards] if beam_runs.is_remote(options) else [shards])
        | "Spread over workers" >> beam.Reshuffle()
        | "Count values" >> beam.Map(count_shards, columns)
        | "Merge" >> beam.CombineGlobally(merged, columns).without_defaults()
        | "Write result" >> beam.Map(_write_result, result_path)
    )
    with beam_runs.explained():
        pipeline.run().wait_until_finish()


def count_shards(shards: list[str], columns: Mapping[str, str]) -> Accumulator:
    """The value histograms of some shards, local or gs://.

    TensorFlow reads, parses and counts batches of rows; of those only the distinct values come into Python.
    """
    from components.common.bare_tensorflow import tf

    @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and looking for it takes its time
    def counted(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tuple[tf.Tensor, tf.Tensor]]]:
        distinct = {name: tf.unique_with_counts(values) for name, values in batch.items()}
        rows = tf.size(batch[schema.CUSTOMER])
        return rows, {name: (found.y, found.count) for name, found in distinct.items()}

    accumulator = Accumulator(columns)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(staging.staged(shard)) for shard in shards]
        stack.enter_context(example_files.explained(files, columns, counted=True))
        batches = example_files.dataset(files, columns, BATCH).map(counted, num_parallel_calls=2).prefetch(2)
        for rows, found in batches.as_numpy_iterator():
            accumulator.add(int(rows), found)
            progress.advance(int(rows))
    return accumulator


def _check_shards(shards: list[str], columns: Mapping[str, str]) -> None:
    for shard in shards:
        with staging.staged(shard) as file:
            example_files.expect_whole([file], columns)


def _write_result(counted: Accumulator, path: str) -> None:
    features = {
        name: counted.statistics(name) if kind == "float" else counted.tokens(name)
        for name, kind in sorted(counted.columns.items())
    }
    storage.write_json(path, {"format_version": FORMAT_VERSION, "rows": counted.rows, "features": features})


@contextlib.contextmanager
def _scratch(output_path: str, options: "PipelineOptions") -> Iterator[str]:
    """A place for the pipeline's result that the workers and this process can both reach."""
    if not beam_runs.is_remote(options):
        with tempfile.TemporaryDirectory() as folder:
            yield storage.join(folder, "result.json")
        return
    if not storage.is_remote(output_path):
        remedy = "Choose a file in a bucket that the workers may write to."
        raise InputError("output_path", output_path, "gs://..., because Dataflow's workers write there", remedy)
    path = f"{output_path}.partial"
    try:
        yield path
    finally:
        storage.remove(path)
