"""Several finished artifacts of one path, here and on a remote file system."""

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from components.common import outputs, storage
from components.common.errors import InputError

MARKER = "done.json"


@pytest.fixture(params=["local", "remote"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A path that is free, whose name looks like a pattern."""
    if request.param == "local":
        yield str(tmp_path / "models [v1]" / "weekly?")
        return
    bucket = f"memory://bucket-{uuid.uuid4().hex}"
    yield f"{bucket}/models [v1]/weekly?"
    storage.remove(bucket)


def write(path: str, text: str, again: bool = True) -> None:
    with outputs.published(path, MARKER, again) as work:
        Path(work, MARKER).write_text(text, encoding="utf-8")


def content(path: str) -> dict[str, str]:
    """The text of every file below a path."""
    fs, inner = fsspec.core.url_to_fs(path)
    return {file.removeprefix(f"{inner}/"): fs.cat_file(file).decode() for file in fs.find(inner)}


def test_the_first_is_at_the_path_and_later_ones_in_folders_that_latest_names(path: str) -> None:
    assert outputs.resolved(path) == path  # there is nothing yet: for the reader to say
    write(path, "one")
    assert content(path) == {MARKER: "one"}
    assert outputs.resolved(path) == path
    names = []
    for text in ("two", "three"):
        outputs.refuse_overwrite(path, MARKER, again=True)
        before = content(path)
        write(path, text)
        after = content(path)
        (new,) = after.keys() - before.keys() - {"latest"}
        name = after["latest"].removesuffix("\n")
        assert new == f"{name}/{MARKER}"
        assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", name)
        assert after == {**before, new: text, "latest": f"{name}\n"}  # nothing else was touched
        assert content(outputs.resolved(path)) == {MARKER: text}
        names.append(name)
    # Whoever writes another name there, or . for the first, takes the readers back.
    storage.replace_file(f"{path}/latest", names[0])
    assert content(outputs.resolved(path)) == {MARKER: "two"}
    storage.replace_file(f"{path}/latest", ".")
    assert outputs.resolved(path) == path


def test_a_run_that_fails_leaves_all_as_it_was(path: str) -> None:
    write(path, "one")
    write(path, "two")
    before = content(path)

    def fail() -> None:
        with outputs.published(path, MARKER, again=True):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert content(path) == before


def test_one_that_finished_in_the_meantime_is_no_hindrance(path: str) -> None:
    """Both found the path free when they began; which of them it is shows at the end."""
    outputs.refuse_overwrite(path, MARKER, again=True)
    write(path, "the other")
    write(path, "this one")
    assert content(path)[MARKER] == "the other"
    assert content(outputs.resolved(path)) == {MARKER: "this one"}


def test_one_run_for_a_path_is_refused_and_so_is_what_is_no_artifact(path: str) -> None:
    storage.publish_file(f"{path}/notes.txt", "years of work")
    for again in (False, True):
        with pytest.raises(InputError, match="the output of another run"):
            outputs.refuse_overwrite(path, MARKER, again)
        with pytest.raises(InputError, match="the output of another run"):
            write(path, "one", again)
    storage.publish_file(f"{path}/{MARKER}", "one")
    with pytest.raises(InputError, match="the output of another run"):
        outputs.refuse_overwrite(path, MARKER, again=False)
    with pytest.raises(InputError, match="the output of another run"):
        write(path, "two", again=False)
    assert content(path) == {MARKER: "one", "notes.txt": "years of work"}


@pytest.mark.parametrize("name", ["", "gone", "..", "../weekly", "a/b", "/etc", "two\nnames"])
def test_a_name_of_nothing_is_refused(path: str, name: str) -> None:
    write(path, "one")
    storage.replace_file(f"{path}/latest", name)
    with pytest.raises(InputError, match=r"latest: found .* expected the name of a folder beside it"):
        outputs.resolved(path)


def test_latest_is_replaced_at_once(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that comes while it is written finds the earlier name."""
    if storage.is_remote(path):
        pytest.skip("an object appears when its upload is complete")
    storage.replace_file(f"{path}/latest", "one")
    replace, found = os.replace, []

    def watched(source: str, target: str) -> None:
        found.append(Path(path, "latest").read_text(encoding="utf-8"))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    storage.replace_file(f"{path}/latest", "two")
    assert found == ["one"]
    assert content(path) == {"latest": "two"}
