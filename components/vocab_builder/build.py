"""From the train split to vocabularies.json, in one Beam pipeline."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from components.common import beam as beam_runs
from components.common import example_set, progress, shard_checks, staging, storage, value_counts, vocabularies
from components.common.accumulator import Accumulator, merged
from components.common.claims import claiming_file
from components.common.errors import InputError
from components.common.example_part import Part
from components.common.feature_config import load as load_config
from components.common.shard_checks import Shard
from components.common.shipped import FEATURE_CONFIG

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: no CUDA notes on a CPU machine


TRAIN = "train"


@claiming_file
def build_vocabularies(
    *,
    examples: str,
    output_path: str,
    feature_config: str = FEATURE_CONFIG,
    metadata_path: str = "",
    beam_options: str = "",
) -> dict[str, Any]:
    """Counts the tokens and measures the numbers of the train split; validation and test rows are not counted.

    Args:
        examples: The DataExtractor's folder, or a folder or glob of shards that nobody split, local or gs://; of those,
            the train split is four fifths of the rows, by a stable hash.
        output_path: The file to write, local or gs://; must be free.
        feature_config: The feature config: its path, or its YAML or JSON text; by default the one that is shipped.
        metadata_path: metadata.json of the examples; by default the one in their folder, or beside shards that nobody
            split.
        beam_options: Apache Beam options, for example "--runner=DataflowRunner --project=... --region=...
            --temp_location=gs://... --sdk_container_image=..."; "" runs in this process. On a command line write
            --beam-options="--runner=...", with the equals sign.

    Returns:
        The content of vocabularies.json (components/common/vocabularies.py describes it).

    Raises:
        InputError: unfinished or damaged examples, a column that they lack; then nothing is left at output_path.
    """
    columns = value_counts.columns_of(load_config(feature_config))
    options = beam_runs.options(beam_options)
    listing = example_set.find(examples, metadata_path, [TRAIN])
    fingerprint = listing.check({}, counted=TRAIN)
    shards, part = listing.of(TRAIN), listing.part(TRAIN)
    with _scratch(output_path, options) as scratch, progress.shown("Counting tokens", part.rows or 0):
        _run(list(shards), part, columns, scratch, options)
        counted = storage.read_json(scratch, "the pipeline's result")
    part._replace(files=[shard.path for shard in shards]).expect_rows(counted["rows"])
    document = vocabularies.document(counted["rows"], counted["features"], fingerprint)
    storage.publish_file(output_path, storage.to_json(document))
    return document


def _run(
    shards: list[Shard], part: Part, columns: Mapping[str, str], result_path: str, options: "PipelineOptions"
) -> None:
    import apache_beam as beam

    beam_runs.name_job(options, result_path)
    pipeline = beam.Pipeline(options=options)
    _ = (
        pipeline
        # Here one worker reads several shards at a time; on other machines each shard is for any of them.
        | "Shards" >> beam.Create([[shard] for shard in shards] if beam_runs.is_remote(options) else [shards])
        | "Spread over workers" >> beam.Reshuffle()
        | "Count values" >> beam.Map(count_shards, columns, part)
        | "Merge" >> beam.CombineGlobally(merged, columns).without_defaults()
        | "Write result" >> beam.Map(_write_result, result_path, part)
    )
    with beam_runs.explained():
        pipeline.run().wait_until_finish()


def count_shards(shards: list[Shard], columns: Mapping[str, str], part: Part) -> Accumulator:
    """The value histograms of the train split's rows in some shards, local or gs://.

    Args:
        shards: Those with a checksum have been compared with it where they are.
        columns: What to count.
        part: The train split, without its files.

    Raises:
        InputError: damage, or a column that is missing or of another type.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(staging.staged(shard.path)) for shard in shards]
        shard_checks.expect_whole(dict(zip(shards, files, strict=True)), part.where, part.remedies)
        return value_counts.count(part._replace(files=files), columns)


def _write_result(counted: Accumulator, path: str, part: Part) -> None:
    if not counted.rows:
        raise part.no_rows()
    storage.write_json(path, {"rows": counted.rows, "features": value_counts.features(counted)})


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
