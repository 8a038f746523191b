"""What Beam's own DataflowRunner submits: our image, the workers' options, and code that a worker can load and run."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2

from components.common import beam as beam_runs
from components.common import schema
from components.common.errors import InputError
from components.data_extractor import write
from components.data_extractor.bigquery_read import BigQueryStream, Endpoint
from components.data_extractor.extract import extract
from components.data_extractor.parquet_stream import ParquetStream
from components.vocab_builder.build import build_vocabularies
from tests.servers import dataflow, storage

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "feature_config.yaml")
IMAGE = "registry.example:5000/metro-recs/data:v7"
OPTIONS = f"""
--runner=DataflowRunner --project=my-project --region=europe-west3
--temp_location=gs://{storage.BUCKET}/scratch --staging_location=gs://{storage.BUCKET}/staging
--sdk_container_image={IMAGE} --num_workers=4 --max_num_workers=8 --machine_type=n2-standard-4
--service_account_email=workers@my-project.iam.gserviceaccount.com
--no_use_public_ips --subnetwork=regions/europe-west3/subnetworks/data
"""
MAX_PAYLOAD = 100_000
# What a pickle may name: besides our modules and Beam's, only Python's own. So no client, and no __main__.
MAY_NAME = {"components", "apache_beam", "builtins", "collections", "logging", "types", "typing"}
# A worker: a new process with the repository on its path. It loads every function of the pipeline and what goes into
# it, and says what they name; then, with any argument, it runs the pipeline as it was staged, but for the environment:
# itself instead of a container.
WORKER = """
import json, sys
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2 as beam
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment
from google.protobuf.wrappers_pb2 import BytesValue

pipeline = beam.Pipeline.FromString(sys.stdin.buffer.read())
loaded, sizes, names = {}, [], set()
sys.addaudithook(lambda event, args: event == "pickle.find_class" and names.add(".".join(args)))
for transform in pipeline.components.transforms.values():
    if transform.spec.urn == "beam:transform:pardo:v1":
        function = beam.ParDoPayload.FromString(transform.spec.payload).do_fn
        pickled = function.payload
    elif transform.spec.urn.startswith("beam:transform:combine_"):
        function = beam.CombinePayload.FromString(transform.spec.payload).combine_fn
        pickled = BytesValue.FromString(function.payload).value
    else:
        continue
    if "pickled_python" not in function.urn:  # one of Beam's, known by its urn
        continue
    loaded[transform.unique_name] = pickler.loads(pickled)
    sizes.append(len(pickled))
for step in loaded:
    if step.endswith("/Map(decode)"):  # of a beam.Create; the step before makes the encoded values
        (make,) = [name for name in loaded if name.startswith(step.replace("/Map(decode)", "/FlatMap("))]
        for value in loaded[make][0].process(None):
            list(loaded[step][0].process(value))
print(json.dumps({"sizes": sizes, "names": sorted(names)}))
assert not [name for name in sys.modules if name.split(".")[0] == "tests"]
if len(sys.argv) > 1:
    for environment in pipeline.components.environments.values():
        environment.CopyFrom(EmbeddedPythonEnvironment.default().to_runner_api(None))
    FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([])).wait_until_finish()
"""


@pytest.fixture
def bucket() -> Iterator[storage.Server]:
    with storage.storage_server() as server:
        yield server


def text_of(server: dataflow.Server) -> str:
    return f"{OPTIONS} --dataflow_endpoint={server.url}"


def submitted(server: dataflow.Server) -> tuple[dict[str, Any], beam_runner_api_pb2.Pipeline]:
    """The one job that the server received, and the pipeline that it points to."""
    (job,) = server.jobs
    url = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    assert url.startswith(f"gs://{storage.BUCKET}/staging/")
    with fsspec.open(url) as file:
        return job, beam_runner_api_pb2.Pipeline.FromString(file.read())


def run_worker(pipeline: beam_runner_api_pb2.Pipeline, folder: Path, *arguments: str) -> set[str]:
    """Runs WORKER far from the repository; returns what of ours the pickles name, having checked the rest."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", WORKER, *arguments],
        input=pipeline.SerializeToString(),
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    loaded = json.loads(done.stdout)
    assert max(loaded["sizes"]) < MAX_PAYLOAD
    assert {name.split(".")[0] for name in loaded["names"]} <= MAY_NAME, loaded["names"]
    return {name for name in loaded["names"] if name.startswith("components.")}


def assert_ours(job: dict[str, Any], pipeline: beam_runner_api_pb2.Pipeline) -> None:
    """The job asks for what OPTIONS says, and its pipeline runs in our image alone."""
    assert (job["projectId"], job["location"]) == ("my-project", "europe-west3")
    environment = job["environment"]
    assert environment["serviceAccountEmail"] == "workers@my-project.iam.gserviceaccount.com"
    assert environment["tempStoragePrefix"].startswith(f"storage.googleapis.com/{storage.BUCKET}/scratch/")
    (pool,) = environment["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert (pool["numWorkers"], pool["autoscalingSettings"]["maxNumWorkers"]) == (4, 8)
    assert pool["machineType"] == "n2-standard-4"
    assert pool["subnetwork"] == "regions/europe-west3/subnetworks/data"
    assert pool["ipConfiguration"] in (2, "WORKER_IP_PRIVATE")
    # Not even a requirements.txt: a worker that installs something depends on a package index.
    assert [package["name"] for package in pool["packages"]] == ["submission_environment_dependencies.txt"]

    images = [
        beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image
        for environment in pipeline.components.environments.values()
    ]
    assert images == [IMAGE]


def test_extraction(bucket: storage.Server, tmp_path: Path) -> None:
    rows = [{"split": schema.SPLITS[i % 3], "city": f"Łódź {i}", "product_id": i % 7} for i in range(100)]
    names = [f"товар {i}" for i in range(7)]
    table = pa.Table.from_pylist(rows).append_column("dropped", pa.nulls(len(rows), pa.string()))
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=25)
    pq.write_table(pa.table({"product_id": list(range(7)), "art_name": names}), tmp_path / "products.parquet")
    paths, columns = [str(tmp_path / f"{name}.parquet") for name in ("rows", "products")], ("split", "city", "art_name")
    streams = [ParquetStream(paths[0], (i, i + 2), columns, paths[1]) for i in range(2)]
    counters = {write.__name__: {"train": 34, "validation": 33, "test": 33}, "other": {"train": 1}}

    with dataflow.dataflow_server(counters) as server:
        options = beam_runs.options(text_of(server))
        example = {"city": "string", "art_name": "string"}
        written = write.write_examples(streams, f"gs://{storage.BUCKET}/out", example, options)

    assert written == counters[write.__name__]
    job, pipeline = submitted(server)
    assert_ours(job, pipeline)

    assert bucket.names("out/") == []
    ours = run_worker(pipeline, tmp_path, "run")
    assert {
        "components.data_extractor.write.write_shards",
        "components.data_extractor.parquet_stream.ParquetStream",
    } <= ours
    shards = [f"out/{split}/part-0000{i}-of-00002.tfrecord.gz" for split in sorted(schema.SPLITS) for i in range(2)]
    assert bucket.names("out/") == ["out/_shards.json", *shards]
    for split in schema.SPLITS:
        expected = [(row["city"], names[i % 7]) for i, row in enumerate(rows) if row["split"] == split]
        assert Counter(read(f"gs://{storage.BUCKET}/out/{split}/*")) == Counter(expected)


def read(pattern: str) -> list[tuple[str, str]]:
    import tensorflow as tf

    found = []
    for file in fsspec.open_files(pattern, compression="gzip"):
        with file as stream:
            data = stream.read()
        while data:  # a TFRecord: length, its checksum, the record, its checksum
            size = int.from_bytes(data[:8], "little")
            feature = tf.train.Example.FromString(data[12 : 12 + size]).features.feature
            city, name = (feature[column].bytes_list.value[0].decode() for column in ("city", "art_name"))
            found.append((city, name))
            data = data[16 + size :]
    return found


def test_streams_of_bigquery(bucket: storage.Server, tmp_path: Path) -> None:
    arrow_schema = pa.schema([(name, pa.string()) for name in schema.EXAMPLE]).serialize().to_pybytes()
    streams = [BigQueryStream(Endpoint("my-project"), f"sessions/1/streams/{i}", arrow_schema) for i in range(64)]

    with dataflow.dataflow_server() as server:
        options = beam_runs.options(text_of(server))
        write.write_examples(streams, f"gs://{storage.BUCKET}/out", schema.EXAMPLE, options)

    job, pipeline = submitted(server)
    assert_ours(job, pipeline)
    assert "components.data_extractor.bigquery_read.BigQueryStream" in run_worker(pipeline, tmp_path)


def test_vocabularies(bucket: storage.Server, small_log: tuple[str, str], tmp_path: Path) -> None:
    extract(
        purchases=small_log[0], products=small_log[1], output_path=str(tmp_path / "examples"), feature_config=CONFIG
    )
    build_vocabularies(examples=str(tmp_path / "examples"), output_path=str(tmp_path / "v.json"), feature_config=CONFIG)
    upload(tmp_path / "examples", f"gs://{storage.BUCKET}/examples")

    with dataflow.dataflow_server() as server, pytest.raises(InputError) as raised:
        build_vocabularies(
            examples=f"gs://{storage.BUCKET}/examples",
            output_path=f"gs://{storage.BUCKET}/v.json",
            feature_config=CONFIG,
            beam_options=text_of(server),
        )

    assert "v.json" in str(raised.value)  # the server runs nothing, so there is no result
    job, pipeline = submitted(server)
    assert_ours(job, pipeline)

    before = bucket.names()
    ours = run_worker(pipeline, tmp_path, "run")
    assert {"components.vocab_builder.build.count_shards", "components.common.accumulator.merged"} <= ours
    (result,) = set(bucket.names()) - set(before)
    with fsspec.open(f"gs://{storage.BUCKET}/{result}", "rt", encoding="utf-8") as file:
        counted = json.load(file)
    here = json.loads((tmp_path / "v.json").read_text(encoding="utf-8"))
    # What the workers count; the process that asked them adds what it was made from.
    assert counted == {name: here[name] for name in ("rows", "features")}
    assert here.keys() - counted.keys() == {"format_version", "examples", "fingerprint"}


def upload(folder: Path, path: str) -> None:
    fs, inner = fsspec.core.url_to_fs(path)
    for file in folder.rglob("*"):
        if file.is_file():
            fs.put_file(str(file), f"{inner}/{file.relative_to(folder)}")


def test_a_failed_job_ends_with_the_workers_own_words(bucket: storage.Server) -> None:
    error = "Traceback (most recent call last):\n  ...\ncomponents.common.errors.InputError: gs://b/x: found damage"
    stream = BigQueryStream(Endpoint("my-project"), "stream", b"")
    with dataflow.dataflow_server(error=error) as server:
        options = beam_runs.options(text_of(server))
        with pytest.raises(InputError) as raised:
            write.write_examples([stream], f"gs://{storage.BUCKET}/out", {"city": "string"}, options)
    assert "Dataflow job: found components.common.errors.InputError: gs://b/x: found damage" in str(raised.value)


def test_a_second_job_for_one_output_is_refused_while_the_first_runs(bucket: storage.Server) -> None:
    names, output = [], f"gs://{storage.BUCKET}/out"
    with dataflow.dataflow_server() as server:

        def submit(output: str) -> None:
            options = beam_runs.options(text_of(server))
            beam_runs.name_job(options, output)
            write.write_examples(
                [BigQueryStream(Endpoint("my-project"), "stream", b"")], output, {"city": "string"}, options
            )
            names.append(server.jobs[-1]["name"])

        submit(output)
        submit(f"{output}2")
        assert len(set(names)) == 2
        server.running = names[0]
        with pytest.raises(InputError, match=f"Dataflow job: found There is already active job named {names[0]} "):
            submit(output)
    assert len(server.jobs) == 2


def test_options_reach_beam_as_they_are() -> None:
    given = beam_runs.options(OPTIONS).get_all_options(drop_default=True)
    assert given == PipelineOptions(OPTIONS.split()).get_all_options(drop_default=True)
