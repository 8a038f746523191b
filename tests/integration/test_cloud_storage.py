"""Every path may be gs://: the same artifacts as here, from runs that succeed, are killed, or are refused."""

import glob
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common import schema, staging, storage
from components.common.errors import InputError
from components.data_extractor.extract import extract
from components.vocab_builder.build import build_vocabularies
from tests.servers import storage as servers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "feature_config.yaml")
BUCKET = f"gs://{servers.BUCKET}"
SECONDS = 120


@pytest.fixture
def bucket() -> Iterator[servers.Server]:
    with servers.storage_server() as server:
        yield server


def run(log: tuple[str, str], output: str) -> None:
    extract(purchases=log[0], products=log[1], output_path=output, feature_config=CONFIG)


@pytest.fixture(scope="module")
def extracted(written_log: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The examples of `small_log`, written here; read only."""
    folder = str(tmp_path_factory.mktemp("extracted") / "examples")
    run(written_log, folder)
    return folder


def contents(folder: str) -> dict[str, bytes]:
    """Relative name to bytes of all files in a folder, local or gs://."""
    fs, inner = fsspec.core.url_to_fs(folder, use_listings_cache=False)
    return {name.removeprefix(f"{inner}/"): fs.cat_file(name) for name in fs.find(inner)}


def assert_same(found: str, expected: str) -> None:
    """The same files, and the same Examples to the byte."""
    whole, same = contents(expected), contents(found)
    assert set(same) == set(whole)
    shards = {name for name in whole if name.endswith(".tfrecord.gz")}
    assert {name.partition("/")[0] for name in shards} == set(schema.SPLITS)
    assert {name for name in shards if same[name] != whole[name]} == set()
    described, wanted = (schema.read_metadata(f"{folder}/{schema.METADATA}") for folder in (found, expected))
    for field in ("schema", "splits", "split", "products"):
        assert described[field] == wanted[field]


def upload(file: str) -> str:
    fs, inner = fsspec.core.url_to_fs(f"{BUCKET}/input/{os.path.basename(file)}")
    fs.put_file(file, inner)
    return f"gs://{inner}"


def test_the_same_examples_and_vocabularies_as_here(
    bucket: servers.Server, extracted: str, small_log: tuple[str, str], tmp_path: Path
) -> None:
    build_vocabularies(examples=extracted, output_path=str(tmp_path / "v.json"), feature_config=CONFIG)

    remote_log = upload(small_log[0]), upload(small_log[1])
    run((f"{BUCKET}/input/purch*.parquet", remote_log[1]), f"{BUCKET}/run/examples")
    build_vocabularies(examples=f"{BUCKET}/run/examples", output_path=f"{BUCKET}/run/v.json", feature_config=CONFIG)

    assert_same(f"{BUCKET}/run/examples", extracted)
    described = schema.read_metadata(f"{BUCKET}/run/examples/metadata.json")
    assert described["source"]["purchases"] == f"{BUCKET}/input/purch*.parquet"
    assert {name for name in bucket.names("run/") if not name.startswith("run/examples/")} == {"run/v.json"}
    assert contents(f"{BUCKET}/run")["v.json"] == (tmp_path / "v.json").read_bytes()


def test_a_shard_that_is_another_ones_is_seen_in_the_bucket(
    bucket: servers.Server, extracted: str, tmp_path: Path
) -> None:
    """Also in a split that the VocabBuilder does not read: Cloud Storage says what its checksum is."""
    fs, inner = fsspec.core.url_to_fs(f"{BUCKET}/copy")
    whole = contents(extracted)
    for name, content in whole.items():
        fs.pipe_file(f"{inner}/{name}", content)
    (shard,) = [name for name in whole if name.startswith("test/")]
    fs.pipe_file(f"{inner}/{shard}", whole[shard.replace("test/", "validation/")])
    fs.invalidate_cache()
    with pytest.raises(InputError, match=r"copy/test: found .* rows in 1 shards, expected"):
        build_vocabularies(examples=f"{BUCKET}/copy", output_path=str(tmp_path / "v.json"), feature_config=CONFIG)


def start(log: tuple[str, str], output: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "components.data_extractor", "--feature-config", CONFIG, "--output-path", output]
    command += ["--purchases", log[0], "--products", log[1]]
    return subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def kill_when(happened: Callable[[], bool], process: subprocess.Popen) -> None:
    """Kills the process and its children as soon as something happened; fails if it ended before."""
    try:
        until = time.monotonic() + SECONDS
        while not happened():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.001)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def assert_refused_by_readers(examples: str, tmp_path: Path) -> None:
    missing = r"metadata\.json: found no such file, expected "
    with pytest.raises(InputError, match=f"{missing}the metadata.json of a finished extraction"):
        schema.read_metadata(f"{examples}/metadata.json")
    with pytest.raises(InputError, match=rf"{missing}|: found no files"):
        build_vocabularies(examples=examples, output_path=str(tmp_path / "refused.json"), feature_config=CONFIG)
    assert not (tmp_path / "refused.json").exists()


@pytest.mark.parametrize("held", ["train/part-", "metadata.json"])
def test_a_run_killed_while_it_writes_to_a_bucket(
    bucket: servers.Server, extracted: str, small_log: tuple[str, str], tmp_path: Path, held: str
) -> None:
    storage.publish_file(f"{BUCKET}/examples2/keep.txt", "a neighbour")

    with bucket.holding(held) as reached:
        kill_when(reached.is_set, start(small_log, f"{BUCKET}/examples"))

    left = {name.removeprefix("examples/") for name in bucket.names("examples/")}
    assert storage.UNFINISHED in left
    assert schema.METADATA not in left
    shards = {name for name in contents(extracted) if name.endswith(".tfrecord.gz")}
    assert left & shards == {name for name in shards if held not in name}
    assert_refused_by_readers(f"{BUCKET}/examples", tmp_path)

    storage.publish_file(f"{BUCKET}/examples/train/part-00009-of-00010.tfrecord.gz", "of a run with more streams")
    run(small_log, f"{BUCKET}/examples")
    assert_same(f"{BUCKET}/examples", extracted)
    assert contents(f"{BUCKET}/examples2") == {"keep.txt": b"a neighbour"}


def test_a_run_killed_while_it_writes_here(small_log: tuple[str, str], tmp_path: Path) -> None:
    rows = 300_000  # seconds of writing
    seconds = np.arange(rows, dtype=np.int64) + 1_700_000_000
    purchases = {
        "cust_person_id": [f"customer {i % 1009}" for i in range(rows)],
        "product_id": pq.read_table(small_log[1])["product_id"].to_numpy()[np.arange(rows) % 30],
        "revenue": np.ones(rows),
        "city": ["Ulm"] * rows,
        "timestamp": pa.array(seconds, pa.timestamp("s")),
    }
    log = str(tmp_path / "many.parquet"), small_log[1]
    pq.write_table(pa.table(purchases), log[0])
    run(log, str(tmp_path / "expected"))
    output = tmp_path / "runs" / "examples"

    shard = f"{glob.escape(str(output.parent))}/.examples.*.partial/*/part-*"
    kill_when(lambda: bool(glob.glob(shard)), start(log, str(output)))

    (left,) = (name for name in os.listdir(output.parent) if name.endswith(".partial"))
    assert left.startswith(".examples.")
    assert schema.METADATA not in contents(str(output.parent / left))
    assert_refused_by_readers(str(output), tmp_path)

    run(log, str(output))
    assert os.listdir(output.parent) == ["examples"]
    assert_same(str(output), str(tmp_path / "expected"))


def test_files_and_folders_in_a_bucket(bucket: servers.Server) -> None:
    path = f"{BUCKET}/run/artifact"
    with storage.publish(path, "done.json") as work:
        Path(work, "deep").mkdir()
        Path(work, "deep", "a.txt").write_text("Łódź", encoding="utf-8")
        Path(work, "last.txt").touch()
        storage.write_json(f"{work}/done.json", {})
    # In the order of the uploads: the marker last.
    names = [f"run/artifact/{name}" for name in ("deep/a.txt", "last.txt", "done.json")]
    assert list(bucket.storage.objects[servers.BUCKET]) == names
    with pytest.raises(InputError, match="another run"), storage.publish(path, "done.json"):
        pytest.fail("the block must not run")
    with pytest.raises(InputError, match="another run"), storage.in_place(f"{BUCKET}/run"):
        pytest.fail("the block must not run")
    with pytest.raises(InputError, match="another run"):
        storage.publish_file(f"{path}/done.json", "")

    assert storage.list_files(f"{path}/*/a*") == [f"{path}/deep/a.txt"]
    with staging.staged(path) as folder, staging.staged(f"{path}/deep/*.txt") as pattern:
        assert contents(folder) == {"deep/a.txt": "Łódź".encode(), "done.json": b"{}\n", "last.txt": b""}
        (file,) = storage.list_files(pattern)
        assert Path(file).read_text(encoding="utf-8") == "Łódź"
    with pytest.raises(InputError, match="nothing there"), staging.staged(f"{path}/none*"):
        pytest.fail("the block must not run")

    storage.publish_file(f"{BUCKET}/run/artifact2", "a neighbour")
    storage.remove(path)
    storage.remove(path)
    assert bucket.names() == ["run/artifact2"]
    with pytest.raises(InputError, match="another run"):
        storage.refuse_overwrite(f"{BUCKET}/run/artifact2")


def test_files_of_others_are_seen_at_once(bucket: servers.Server) -> None:
    """Beam writes past fsspec, whose listings must not be those of a minute ago."""
    from apache_beam.io.filesystems import FileSystems

    assert storage.list_files(f"{BUCKET}/run/part-*") == []
    with storage.in_place(f"{BUCKET}/run") as folder:
        for number in range(2):
            with FileSystems.create(f"{folder}/part-{number}") as file:
                file.write(b"x")
            assert len(storage.list_files(f"{folder}/part-*")) == number + 1
    assert bucket.names() == ["run/part-0", "run/part-1"]


def test_a_failed_upload_is_never_taken_for_whole(bucket: servers.Server, tmp_path: Path) -> None:
    def fail() -> None:
        with storage.publish(f"{BUCKET}/artifact", "done.json") as work:
            storage.write_json(f"{work}/done.json", {})
            Path(work, "locked").symlink_to(tmp_path / "nowhere")

    with pytest.raises(FileNotFoundError):
        fail()
    assert bucket.names() == [f"artifact/{storage.UNFINISHED}"]
    with storage.publish(f"{BUCKET}/artifact", "done.json") as work:
        storage.write_json(f"{work}/done.json", {})
    assert bucket.names() == ["artifact/done.json"]


@pytest.mark.parametrize(
    ("place", "found"), [(f"gs://{servers.FORBIDDEN}", "Forbidden: .*permission"), ("gs://nowhere", "no (such|files)")]
)
def test_places_out_of_reach(
    bucket: servers.Server, extracted: str, small_log: tuple[str, str], tmp_path: Path, place: str, found: str
) -> None:
    uses: list[Callable[[], object]] = [
        lambda: run(small_log, f"{place}/examples"),
        lambda: run((f"{place}/purchases.parquet", small_log[1]), str(tmp_path / "out")),
        lambda: run((f"{place}/*.parquet", small_log[1]), str(tmp_path / "out")),
        lambda: build_vocabularies(examples=f"{place}/x", output_path=str(tmp_path / "v"), feature_config=CONFIG),
        lambda: build_vocabularies(examples=extracted, output_path=f"{place}/v.json", feature_config=CONFIG),
    ]
    before = set(os.listdir(tmp_path))
    for use in uses:
        with pytest.raises(InputError, match=rf"{place}/.*: found {found}"):
            use()
    assert set(os.listdir(tmp_path)) == before
    assert bucket.names() == []

    process = start(small_log, f"{place}/examples")
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert f"error: {place}/examples" in errors
    assert "Traceback" not in errors
