"""The Beam pipeline: streams of record batches become gzip TFRecord shards, a folder a split."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import google_crc32c
import pyarrow as pa
import pyarrow.compute as pc
from isal import igzip

from components.common import beam as beam_runs
from components.common import progress, schema, storage, tfrecord
from components.common.errors import InputError
from components.common.examples import SHARDS
from components.common.shard_checks import checksum
from components.data_extractor.sources import Stream

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

WRITTEN = "_shards.json"  # in the folder, until it is read: what the pipeline says that it wrote
GZIP_LEVEL = 1  # ISA-L's, which takes a quarter of the time of zlib's level 1 for files of the same size


class Written(NamedTuple):
    """A shard: its rows, and the CRC32C of its bytes, 8 hex digits."""

    split: str
    name: str
    rows: int
    crc32c: str


def write_examples(
    streams: Sequence[Stream], folder: str, columns: Mapping[str, str], options: "PipelineOptions"
) -> Mapping[str, int]:
    """Runs the pipeline.

    A stream is the unit of work. A worker that repeats it reads the same rows and writes the same shards under the
    same names, so whatever a runner retries, no row is lost or doubled; and no row waits in a shuffle. What the shards
    hold goes through the pipeline as rows do, so that of a stream that was repeated one worker's word counts; the last
    step writes it down for `written_shards`.

    Args:
        streams: The parts of the query's result.
        folder: Local or gs://; gets train/, validation/ and test/.
        columns: The columns of an Example with their types; the streams have them, and `split`.
        options: Beam's options.

    Returns:
        The number of rows written per split, as the workers counted them.

    Raises:
        InputError: `folder` holds shards that this run did not write.
    """
    import apache_beam as beam

    beam_runs.name_job(options, folder)
    pipeline = beam.Pipeline(options=options)
    written = (
        pipeline
        | "Streams" >> beam.Create(list(enumerate(streams)))
        | "Spread over workers" >> beam.Reshuffle()
        | "Write shards" >> beam.FlatMap(write_shards, len(streams), folder, dict(columns))
    )
    _ = written | "Count" >> beam.Map(_count)
    _ = (
        written
        | "Gather" >> beam.CombineGlobally(_gathered).without_defaults()
        | "Write what was written" >> beam.Map(_write_down, storage.join(folder, WRITTEN))
    )
    with beam_runs.explained():
        result = pipeline.run()
        result.wait_until_finish()
    _expect_own_shards(folder, len(streams))
    counted = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(__name__))["counters"]
    return {counter.key.metric.name: counter.result for counter in counted}


def written_shards(folder: str) -> dict[str, dict[str, dict[str, Any]]]:
    """What the finished pipeline wrote: {split: {shard: {"rows": …, "crc32c": …}}}, as metadata.json has it.

    Raises:
        InputError: a shard that is not there, or with other bytes than its worker wrote.
    """
    path = storage.join(folder, WRITTEN)
    found = storage.read_json(path, "what the workers wrote")
    storage.remove(path)
    if storage.is_remote(folder):  # where a worker that was given up may still have written
        for split, shards in found.items():
            for name, said in shards.items():
                shard = storage.join(folder, split, name)
                if checksum(shard) != said["crc32c"]:
                    remedy = "Wait until all workers of that run have ended, and rerun."
                    raise InputError(shard, "other bytes than its worker wrote", "those", remedy)
    return {split: found.get(split, {}) for split in schema.SPLITS}


def write_shards(
    numbered: tuple[int, Stream], streams: int, folder: str, columns: Mapping[str, str]
) -> Iterator[Written]:
    """Reads one stream and writes its shard of every split in which it has rows; yields what it wrote."""
    number, stream = numbered
    name = _shard(number, streams)
    rows, checksums = dict.fromkeys(schema.SPLITS, 0), dict.fromkeys(schema.SPLITS, 0)
    with contextlib.ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for batch in stream.read():
            records, split_of_row = tfrecord.records(_filled(batch, columns)), batch.column("split")
            for split in schema.SPLITS:
                part = records.filter(pc.equal(split_of_row, pa.scalar(split)))
                if not len(part):
                    continue
                if split not in files:
                    files[split] = stack.enter_context(_create(storage.join(folder, split, name)))
                # One gzip member a batch: members can be read one after another as a single file (RFC 1952, 2.2).
                block = igzip.compress(tfrecord.block(part), GZIP_LEVEL, mtime=0)
                files[split].write(block)
                rows[split] += len(part)
                checksums[split] = google_crc32c.extend(checksums[split], block)
            progress.advance(batch.num_rows)
    yield from (Written(split, name, rows[split], f"{checksums[split]:08x}") for split in files)


def _shard(number: int, streams: int) -> str:
    return f"part-{number:05d}-of-{streams:05d}.tfrecord.gz"


def _expect_own_shards(folder: str, streams: int) -> None:
    """Another run's workers may have gone on writing into the folder that this run took over."""
    own = {_shard(number, streams) for number in range(streams)}
    for split in schema.SPLITS:
        for path in storage.list_folder(storage.join(folder, split), SHARDS):
            if path.rpartition("/")[2] not in own:
                expected = f"shards of the {streams} streams of this run alone"
                raise InputError(path, "a shard of another run", expected, "Wait until that run has ended, and rerun.")


def _filled(batch: pa.RecordBatch, columns: Mapping[str, str]) -> pa.RecordBatch:
    """The columns of an Example in their order; a missing text becomes an empty one."""
    filled = []
    for name, kind in columns.items():
        column: Any = batch.column(name)
        if column.null_count and kind == "string":
            column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            column = pc.fill_null(column, "")
        filled.append(column)
    return pa.RecordBatch.from_arrays(filled, list(columns))


def _create(path: str) -> BinaryIO:
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)


def _count(shard: Written) -> None:
    from apache_beam.metrics import Metrics

    Metrics.counter(__name__, shard.split).inc(shard.rows)


def _gathered(parts: Iterable[Any]) -> list[Any]:
    """Shards, and lists of shards that were gathered before, as one list."""
    return [Written(*shard) for part in parts for shard in (part if isinstance(part, list) else [part])]


def _write_down(shards: list[Written], path: str) -> None:
    found: dict[str, dict[str, Any]] = {}
    for shard in sorted(shards):
        found.setdefault(shard.split, {})[shard.name] = {"rows": shard.rows, "crc32c": shard.crc32c}
    storage.write_json(path, found)
