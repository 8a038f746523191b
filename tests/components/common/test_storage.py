"""Artifacts appear whole or not at all, here and on a remote file system (fsspec's in-memory one)."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from components.common import storage
from components.common.errors import InputError


@pytest.fixture(params=["local", "remote"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path)
        return
    path = f"memory://bucket-{uuid.uuid4().hex}"
    yield path
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


def test_a_remote_glob_is_staged() -> None:
    path = f"memory://bucket-{uuid.uuid4().hex}/shards"
    for number in range(2):
        storage.publish_file(f"{path}/part-{number}", str(number))
    storage.publish_file(f"{path}/other", "x")
    with storage.staged(f"{path}/part-*") as pattern:
        assert [Path(file).read_text() for file in storage.list_files(pattern)] == ["0", "1"]
    storage.remove(path)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        storage.read_text(str(tmp_path), "text")


def test_what_a_killed_upload_left_is_replaced() -> None:
    path = f"memory://bucket-{uuid.uuid4().hex}/artifact"
    for name in ("stale.txt", storage.UNFINISHED):
        with fsspec.open(f"{path}/{name}", "wt") as file:
            file.write("from a killed run, without the marker")
    with storage.publish(path, "done.json") as work:
        write(work, "done.json", "{}")
    assert [name.rpartition("/")[2] for name in files(path)] == ["done.json"]
    storage.remove(path)


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
    with storage.staged(path) as local:
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
