"""The scan finds what is planted in a file system, and nothing in one that is clean."""

import io
import tarfile

import pytest

from tests.containers import scan

KEY = b"-----BEGIN PRIVATE" + b" KEY-----\n" + b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2 + b"\n"


def archive(path: str, content: bytes = b"", mode: int = 0o644) -> io.BytesIO:
    """A tar with one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo(path)
        member.size, member.mode = len(content), mode
        tar.addfile(member, io.BytesIO(content))
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("path", "content", "mode", "found"),
    [
        ("usr/bin/gcc", b"\x7fELF", 0o755, "a compiler"),
        ("usr/bin/x86_64-linux-gnu-g++-12", b"\x7fELF", 0o755, "a compiler"),
        ("opt/venv/lib/clang/native/libclang.so", b"\x7fELF", 0o644, "a compiler"),
        ("root/.cache/pip/http/a/b", b"", 0o644, "a cache of pip"),
        ("tmp/numpy-2.0.whl", b"", 0o644, "a cache of pip"),
        ("var/lib/apt/lists/deb_dists_bookworm_main_Packages.lz4", b"", 0o644, "a cache of apt"),
        ("app/.git/config", b"", 0o644, "version control"),
        ("app/components/common/test_storage.py", b"", 0o644, "tests of ours"),
        ("app/pyproject.toml", b"", 0o644, "a file that the app does not need"),
        ("app/.env", b"", 0o644, "a secret"),
        ("etc/key.pem", KEY, 0o644, "a secret"),
        ("app/components/sa.json", b'{"private_key": "' + KEY.replace(b"\n", b"\\n") + b'"}', 0o644, "a secret"),
        ("etc/pip.conf", b"[global]\nindex-url = https://me:word@index.example/simple\n", 0o644, "a secret"),
        ("app/components/run.sh", b"", 0o4755, "runs as its owner"),
    ],
)
def test_what_is_planted_is_found(path: str, content: bytes, mode: int, found: str) -> None:
    assert any(found in finding for finding in scan.findings(archive(path, content, mode)))


@pytest.mark.parametrize(
    ("path", "content", "mode"),
    [
        ("usr/bin/python3.11", b"\x7fELF", 0o755),
        ("app/components/common/errors.py", b"", 0o644),
        ("opt/venv/lib/python3.11/site-packages/rsa/key.py", b"-----BEGIN RSA PRIVATE" + b" KEY-----\n...", 0o644),
        ("etc/pip.conf", b"[global]\nindex-url = https://index.example/simple\n", 0o644),
    ],
)
def test_a_clean_file_is_not(path: str, content: bytes, mode: int) -> None:
    assert list(scan.findings(archive(path, content, mode))) == []


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"User": "1000:1000"}, []),
        ({"User": ""}, ["root as its user"]),
        ({"User": "0:0"}, ["root as its user"]),
        ({"User": "recs", "Entrypoint": ["python3"]}, ["an ENTRYPOINT: ['python3']"]),
        ({"User": "recs", "Env": ["PIP_TOKEN=x"]}, ["a secret in its environment or history"]),
    ],
)
def test_configuration(config: dict, found: list[str]) -> None:
    assert list(scan.configuration({"Config": config}, [])) == found
