"""Checkpoint files: whole or not there, damaged ones recognised, only the newest two kept."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from trainer_image.checkpoint import Checkpoints, Saved


def saved(number: int, size: int = 1000) -> Saved:
    return Saved({"weight-0": np.full(size, number, np.float32)}, {"state": {"step": number}})


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path / "made"), minutes=5)
    for step in (9, 10, 11):
        checkpoints.save(step, saved(step))
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "step-000000000010.npz",
        "step-000000000011.npz",
    ]
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.document == {"state": {"step": 11}}
    np.testing.assert_array_equal(newest.arrays["weight-0"], np.full(1000, 11, np.float32))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(str(tmp_path), minutes=5)
    for step in (1, 2):
        checkpoints.save(step, saved(step))
    newest = tmp_path / "step-000000000002.npz"
    content = bytearray(newest.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
    else:
        content = bytearray(b"" if damage == "empty" else b"not an archive")
    newest.write_bytes(content)
    found = checkpoints.newest()
    assert found is not None
    assert found.document["state"]["step"] == 1
    assert "step-000000000002.npz is damaged" in capsys.readouterr().err


def test_without_checkpoints_there_is_none(tmp_path: Path) -> None:
    assert Checkpoints(str(tmp_path / "nothing"), minutes=5).newest() is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """One MiB of tmpfs."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False).returncode:
        pytest.skip("this user can't mount a tmpfs")
    yield folder
    subprocess.run([shutil.which("umount") or "umount", folder], check=True)


def test_a_full_disk_leaves_the_last_checkpoint_whole_and_says_so(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(str(small_disk), minutes=5)
    checkpoints.save(1, saved(1, size=150_000))  # 600 kB
    checkpoints.save(2, saved(2, size=150_000))
    found = checkpoints.newest()
    assert found is not None
    assert found.document["state"]["step"] == 1
    assert [path.name for path in small_disk.iterdir()] == ["step-000000000001.npz"]
    said = capsys.readouterr().err
    assert "no checkpoint of step 2" in said
    assert "No space left" in said


def test_a_checkpoint_in_a_bucket(tmp_path: Path) -> None:
    checkpoints = Checkpoints("memory://checkpoints/run", minutes=5)
    for step in (1, 2, 3):
        checkpoints.save(step, saved(step))
    assert [path.rsplit("/", 1)[1] for path in checkpoints.paths()] == [
        "step-000000000002.npz",
        "step-000000000003.npz",
    ]
    found = checkpoints.newest()
    assert found is not None
    assert found.document["state"]["step"] == 3
    checkpoints.remove()
    assert checkpoints.paths() == []


def test_checkpoints_are_due_every_so_many_minutes_and_at_the_end_of_quick_epochs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(str(tmp_path), minutes=5)
    assert checkpoints.is_due(epoch_ended=True)
    assert not checkpoints.is_due(epoch_ended=False)
    now[0] += 301
    assert checkpoints.is_due(epoch_ended=False)
    checkpoints.save(1, saved(1))
    checkpoints.took = 2.0  # saving takes two seconds: an epoch of ten would spend a fifth on it
    now[0] += 10
    assert not checkpoints.is_due(epoch_ended=True)
    now[0] += 31
    assert checkpoints.is_due(epoch_ended=True)


@pytest.mark.parametrize("ended", ["remove", "remove_if_empty"])
def test_files_of_others_in_the_folder_stay(tmp_path: Path, ended: str) -> None:
    """A user may name a folder that is in use, such as a bucket's root; only what a run wrote there goes."""
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    checkpoints = Checkpoints(str(tmp_path), minutes=5)
    if ended == "remove":
        checkpoints.save(1, saved(1))
        (tmp_path / "step-000000000002.npz.partial").write_bytes(b"what a killed run left")
        compared = Checkpoints(str(tmp_path / "ablation" / "seed-42-without"), minutes=5)
        compared.save(1, saved(1))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "curve.csv").write_text("epoch\n", encoding="utf-8")
    getattr(checkpoints, ended)()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_checkpoint_out_of_reach_is_not_taken_for_a_damaged_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(str(tmp_path), minutes=5)
    checkpoints.save(1, saved(1))

    def unreachable(*_: object, **__: object) -> None:
        raise PermissionError("no access")

    monkeypatch.setattr("components.common.storage.opened", unreachable)
    with pytest.raises(InputError, match="no access"):
        checkpoints.newest()
    assert checkpoints.paths() == [str(tmp_path / "step-000000000001.npz")]
