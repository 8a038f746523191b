"""One writer for one output, told before it works; odd names are names; a disk that refuses is named."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from components.common import claims, storage
from components.common.errors import InputError

NAMES = ["run [v1]?*", "a::b", "a%20b", "two\nlines", "-x", "ünï 🛒", "gs:", "x" * 120]


def refused(path: str) -> str:
    with pytest.raises(InputError) as error, claims.claimed(path):
        pytest.fail("the block must not run")
    return str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_second_of_two_is_told_before_it_works(tmp_path: Path, name: str) -> None:
    output = str(tmp_path / name / "model")
    with claims.claimed(output):
        assert "found another process that is writing it" in refused(output)
        assert "found another process that is writing it" in refused(f"{output}/")
        with claims.claimed(f"{output}2"):
            pass
        with storage.publish(output, "done.json") as work:
            storage.write_json(f"{work}/done.json", {})
    assert os.listdir(tmp_path / name) == ["model"]
    assert "the output of another run" in refused(output)
    assert storage.read_json(storage.join(output, "done.json"), "it") == {}
    storage.remove(output)
    assert os.listdir(tmp_path / name) == []


def test_a_relative_path_and_a_link_are_the_place_that_they_lead_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink("real", "link")
    with claims.claimed("real"):
        for path in (str(tmp_path / "real"), "link", "./real", "other/../real"):
            assert "another process" in refused(path)
    with claims.claimed("link"), storage.publish("link", "done.json") as work:
        storage.write_json(f"{work}/done.json", {})
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]
    assert os.path.islink("link")
    assert os.listdir("real") == ["done.json"]


def test_a_run_that_was_killed_does_not_keep_its_place(tmp_path: Path) -> None:
    output = tmp_path / "model"
    program = f"""
        from components.common import claims
        with claims.claimed({str(output)!r}):
            print("held", flush=True)
            input()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert "another process" in refused(str(output))
        process.send_signal(signal.SIGKILL)
    with claims.claimed(str(output)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_leaves_no_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with claims.claimed(str(tmp_path / "a" / "b" / "model")):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_mark_in_a_bucket_is_spoken_of(capsys: pytest.CaptureFixture[str]) -> None:
    path = "memory://bucket-of-claims/model"
    storage.write_text(f"{path}/{storage.UNFINISHED}", "Run 1")
    with claims.claimed(path):
        assert "another run is writing it, or was ended while it did" in capsys.readouterr().err
    storage.remove(path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("file:///tmp/model", "found an address with file://, expected a path, or gs://…. Write /tmp/model."),
        ("memory://a::b", "found an address with ::"),
        ("~/model", "found a path with ~"),
        ("a\0b", "embedded null byte"),
        ("nosuch://bucket/model", "found the protocol nosuch (Protocol not known: nosuch)"),
        ("", "the path of the output: found nothing"),
        ("/proc/made", "/proc/made: found no such bucket or folder"),
        ("x" * 300, "File name too long"),
        ("a\udcffb", "a\\udcffb: found bytes that are not UTF-8"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(path: str, words: str) -> None:
    assert words in refused(path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_refuses_is_named_whoever_met_it(number: int, tmp_path: Path) -> None:
    """The error itself, one that was made of it, and a text of another process or of C++."""
    output, text = str(tmp_path / "model"), os.strerror(number)

    def itself() -> None:
        raise OSError(number, text, output)

    def wrapped() -> None:
        try:
            itself()
        except OSError:
            raise RuntimeError("the worker failed") from None

    def blamed() -> None:
        """What made an error of the input of it."""
        try:
            itself()
        except OSError as error:
            raise InputError("purchases.parquet", str(error), "Parquet", "Check it.") from error

    def told() -> None:
        raise RuntimeError(f"UNKNOWN: {output}/saved_model.pb; {text}")

    for fail in (itself, wrapped, blamed, told):
        with pytest.raises(InputError) as error, claims.claimed(output):
            fail()
        assert error.value.found == text
        assert error.value.where == output
    assert list(tmp_path.iterdir()) == []


def test_another_failure_is_not_the_disks(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), claims.claimed(str(tmp_path / "model")):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")
    with pytest.raises(InputError, match="found y"), claims.claimed(str(tmp_path / "model")):
        raise InputError("x", "y", "z", "Do it.")


def test_a_name_that_is_too_long_is_one_sentence(tmp_path: Path) -> None:
    assert "found File name too long" in refused(str(tmp_path / ("x" * 300)))


def test_a_folder_that_may_not_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: str, *_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "open", denied)
    assert "found Permission denied" in refused(str(tmp_path / "model"))


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_a_folder_for_temporary_files_that_is_none_is_named(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path / folder))
    said = refused(str(tmp_path / "model"))
    assert said.startswith(f"{tmp_path / folder} (TMPDIR): found ")
    assert "set TMPDIR to a folder with more room" in said


@pytest.mark.parametrize(
    ("bytes_allowed", "words"),
    [(0, "(TMPDIR): found No usable temporary directory"), (1 << 17, "model: found File too large")],
)
def test_without_room_a_program_ends_with_a_sentence(bytes_allowed: int, words: str, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: none for temporary files, or none for the output."""
    program = f"""
        import resource
        from components.common import claims, cli, storage

        def write() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_allowed},) * 2)
            with claims.claimed({str(tmp_path / "model")!r}):
                with storage.publish({str(tmp_path / "model")!r}, "done.json") as work:
                    storage.write_text(work + "/done.json", "x" * 1_000_000)

        cli.run(write)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []
