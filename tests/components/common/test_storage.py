"""Artifacts appear whole or not at all, here and on a remote file system (fsspec's in-memory one)."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from components.common import staging, storage
from components.common.errors import InputError

NAME = "my shop [v1] a*b?"  # what globs take for patterns, in a folder's name


@pytest.fixture(params=["local", "remote"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        (tmp_path / NAME).mkdir()
        yield str(tmp_path / NAME)
        return
    path = f"memory://bucket-{uuid.uuid4().hex}"
    yield f"{path}/{NAME}"
    storage.remove(path)


def write(folder: str, name: str, text: str) -> None:
    Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
    Path(folder, name).write_text(text, encoding="utf-8")


def files(root: str) -> list[str]:
    fs, inner = fsspec.core.url_to_fs(root)
    return sorted(fs.find(inner)) if fs.exists(inner) else []


def test_a_published_folder_is_there_with_all_its_files(root: str) -> None:
    with storage.publish(f"{root}/artifact", "done.json") as work:
        write(work, "a/b.txt", "Łódź")
        write(work, "done.json", "{}")
    assert storage.read_text(f"{root}/artifact/a/b.txt", "text") == "Łódź"
    assert len(files(root)) == 2


def test_a_failed_block_leaves_nothing(root: str) -> None:
    def fail() -> None:
        with storage.publish(f"{root}/artifact", "done.json") as work:
            write(work, "half.txt", "half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert files(root) == []
    assert not storage.exists(f"{root}/artifact")


def test_another_runs_output_is_refused(root: str) -> None:
    with storage.publish(f"{root}/artifact", "done.json") as work:
        write(work, "done.json", "{}")
    with pytest.raises(InputError, match="the output of another run"), storage.publish(f"{root}/artifact", "done.json"):
        pytest.fail("the block must not run")


def test_a_foreign_remote_folder_is_not_emptied() -> None:
    path = f"memory://bucket-{uuid.uuid4().hex}/run"
    storage.publish_file(f"{path}/examples/keep.txt", "years of work")
    with pytest.raises(InputError, match="another run"), storage.publish(path, "done.json"):
        pytest.fail("the block must not run")
    assert storage.exists(f"{path}/examples/keep.txt")
    storage.remove(path)


def test_a_folder_is_listed_by_a_glob_that_is_not_in_its_name(root: str) -> None:
    for name in ("part-1", "part-2", "other", "deep/part-3", "part-4.gz/part-5"):
        storage.publish_file(f"{root}/examples/{name}", name)
    found = storage.list_folder(f"{root}/examples", "part-?")
    assert [storage.read_text(path, "a file") for path in found] == ["part-1", "part-2"]
    (found_deep,) = storage.list_folder(f"{root}/examples", "de*/part-*")
    assert storage.read_text(found_deep, "a file") == "deep/part-3"
    assert storage.list_folder(f"{root}/nothing", "part-*") == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("my [v1]/*.gz", ["my [v1]/a.gz", "my [v1]/b[1].gz"]),
        ("my [v1]/b[1].gz", ["my [v1]/b[1].gz"]),  # the name of a file
        ("my [v1]/[a].gz", ["my [v1]/a.gz"]),  # no file is called so
        ("my [uv]/*.gz", ["my v/a.gz"]),  # no folder is called so
        ("*/a.gz", ["my [v1]/a.gz", "my v/a.gz"]),
        ("my v", ["my v"]),
        ("my v/a.g", []),
        ("my [w]/*", []),
    ],
)
def test_a_name_that_is_there_is_no_pattern(root: str, pattern: str, expected: list[str]) -> None:
    for name in ("my [v1]/a.gz", "my [v1]/b[1].gz", "my v/a.gz"):
        storage.publish_file(f"{root}/{name}", name)
    assert [path.partition(f"{NAME}/")[2] for path in storage.list_files(f"{root}/{pattern}")] == expected


@pytest.mark.parametrize("name", ["my [v1]", "my v"])
def test_a_remote_folder_is_staged_and_removed_whatever_it_is_called(name: str) -> None:
    bucket = f"memory://bucket-{uuid.uuid4().hex}"
    for folder in ("my [v1]", "my v"):
        for file in ("metadata.json", "train/part-[0]"):
            storage.publish_file(f"{bucket}/{folder}/{file}", f"{folder}/{file}")
    with staging.staged(f"{bucket}/{name}") as local:
        assert Path(local, "train", "part-[0]").read_text() == f"{name}/train/part-[0]"
        assert Path(local, "metadata.json").read_text() == f"{name}/metadata.json"
    with staging.staged(f"{bucket}/{name}/train/part-[0]") as local:
        assert Path(local).read_text() == f"{name}/train/part-[0]"
    storage.remove(f"{bucket}/{name}")
    assert not files(f"{bucket}/{name}")
    assert len(files(bucket)) == 2
    storage.remove(bucket)
    with pytest.raises(InputError, match="nothing there"), staging.staged(f"{bucket}/{name}"):
        pytest.fail("the block must not run")


def test_a_remote_glob_is_staged() -> None:
    path = f"memory://bucket-{uuid.uuid4().hex}/shards"
    for number in range(2):
        storage.publish_file(f"{path}/part-{number}", str(number))
    storage.publish_file(f"{path}/other", "x")
    with staging.staged(f"{path}/part-*") as pattern:
        assert [Path(file).read_text() for file in storage.list_files(pattern)] == ["0", "1"]
    storage.remove(path)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        storage.read_text(str(tmp_path), "text")


@pytest.fixture
def folder() -> Iterator[str]:
    """A path in a bucket, with a neighbour whose name begins alike."""
    path = f"memory://bucket-{uuid.uuid4().hex} [1]/artifact"
    storage.publish_file(f"{path}2/keep.txt", "years of work")
    yield path
    assert storage.exists(f"{path}2/keep.txt")
    storage.remove(path.rpartition("/")[0])


def names(path: str) -> list[str]:
    return [file.partition("/artifact/")[2] for file in files(path)]


def test_what_a_killed_run_left_is_replaced(folder: str) -> None:
    for name in ("metadata.json", "train/part-0", storage.UNFINISHED):
        storage.publish_file(f"{folder}/{name}", "from a killed run")
    with storage.publish(folder, "done.json") as work:
        write(work, "done.json", "{}")
    assert names(folder) == ["done.json"]


def test_a_folder_is_marked_as_long_as_it_is_written(folder: str) -> None:
    with storage.in_place(folder) as inside:
        assert names(folder) == [storage.UNFINISHED]
        storage.publish_file(f"{inside}/train/part-0", "0")
        storage.write_json(f"{inside}/metadata.json", {})
        assert storage.UNFINISHED in names(folder)
    assert names(folder) == ["metadata.json", "train/part-0"]
    with pytest.raises(InputError, match="another run"), storage.in_place(folder):
        pytest.fail("the block must not run")
    assert names(folder) == ["metadata.json", "train/part-0"]


def test_a_failed_block_leaves_the_mark_alone_and_the_next_run_goes_on(folder: str) -> None:
    def fail() -> None:
        with storage.in_place(folder) as inside:
            storage.publish_file(f"{inside}/train/part-0", "0")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(folder) == [storage.UNFINISHED]
    storage.publish_file(f"{folder}/train/part-7", "of a worker that did not know")
    with storage.in_place(folder) as inside:
        storage.publish_file(f"{inside}/train/part-1", "1")
    assert names(folder) == ["train/part-1"]


def test_of_two_runs_at_once_the_earlier_fails_and_leaves_the_laters_files(folder: str) -> None:
    later = storage.in_place(folder)

    def both() -> None:
        with storage.in_place(folder):
            later.__enter__()
            storage.publish_file(f"{folder}/later.txt", "")

    with pytest.raises(InputError, match="files of a run that began later"):
        both()
    later.__exit__(None, None, None)
    assert names(folder) == ["later.txt"]


HOLD = """
import sys
from components.common import storage, staging
with storage.publish(sys.argv[1], "done.json") as work:
    open(f"{work}/half.txt", "w").close()
    print(work, flush=True)
    sys.stdin.read()
"""


def test_folders_of_dead_runs_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen, Path]:
        command = [sys.executable, "-c", HOLD, str(tmp_path / "artifact")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        return process, Path(process.stdout.readline().strip())

    (dead, dead_folder), (living, living_folder) = start(), start()
    dead.kill()
    dead.wait()
    (tmp_path / ".artifact.mine.partial").mkdir()
    assert (dead_folder / "half.txt").exists()

    with storage.publish(str(tmp_path / "artifact"), "done.json") as work:
        write(work, "done.json", "{}")

    assert not dead_folder.exists()
    assert (living_folder / "half.txt").exists()
    assert (tmp_path / ".artifact.mine.partial").exists()
    living.communicate("")
    assert living.returncode  # the path was taken in the meantime
    assert sorted(os.listdir(tmp_path)) == [".artifact.mine.partial", "artifact"]
    assert os.listdir(tmp_path / "artifact") == ["done.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"), storage.publish(str(tmp_path / "a" / "b"), "done.json"):
        pytest.fail("the block must not run")
    tmp_path.chmod(0o700)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="File exists"), storage.publish(str(tmp_path / "file" / "b"), "done.json"):
        pytest.fail("the block must not run")


def test_a_foreign_local_folder_is_not_overwritten(tmp_path: Path) -> None:
    write(str(tmp_path), "thesis.txt", "years of work")
    with pytest.raises(InputError), storage.publish(str(tmp_path), "done.json"):
        pytest.fail("the block must not run")
    assert (tmp_path / "thesis.txt").exists()


def test_a_published_file_is_refused_twice(root: str) -> None:
    storage.publish_file(f"{root}/one.json", "{}")
    with pytest.raises(InputError, match=r"one\.json: found the output of another run"):
        storage.publish_file(f"{root}/one.json", "{}")
    assert len(files(root)) == 1


def test_staged_remote_folders_are_local_copies() -> None:
    path = f"memory://bucket-{uuid.uuid4().hex}/folder"
    with fsspec.open(f"{path}/deep/file.txt", "wt") as file:
        file.write("x")
    with staging.staged(path) as local:
        assert Path(local, "deep", "file.txt").read_text() == "x"
    assert not Path(local).exists()
    storage.remove(path)


def test_json_errors_say_what_is_wrong(root: str) -> None:
    storage.publish_file(f"{root}/cut.json", '{"a": ')
    storage.publish_file(f"{root}/list.json", "[]")
    with pytest.raises(InputError, match=r"cut\.json: found invalid JSON"):
        storage.read_json(f"{root}/cut.json", "numbers")
    with pytest.raises(InputError, match=r"list\.json: found a JSON list, expected numbers"):
        storage.read_json(f"{root}/list.json", "numbers")
    with pytest.raises(InputError, match=r"none\.json: found no such file"):
        storage.read_json(f"{root}/none.json", "numbers")


def test_json_is_written_without_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(str(tmp_path / "x.json"), {"a": float("nan")})
