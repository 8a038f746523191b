"""What an image must not hold: secrets, compilers, caches, and what else is no part of running a component."""

import json
import re
import tarfile
from collections.abc import Iterator
from typing import IO, Any

MAX_TEXT = 4 << 20
EXECUTABLE, SETUID = 0o111, 0o6000
COMPILER = re.compile(
    r"(.*-)?(gcc|g\+\+|cc|c\+\+|cpp|cc1|cc1plus|clang|clang\+\+|ld|as|make|cmake|rustc|go|nvcc)(-[\d.]+)?"
)
CREDENTIALS = (
    r"\.env|\.netrc|\.npmrc|\.pypirc|\.dockercfg|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)"
    r"|application_default_credentials\.json|credentials\.db"
)
NAMES = {"a compiler": re.compile(r"libclang[\w.-]*\.so.*|libgcc\.a|libc\.a"), "a secret": re.compile(CREDENTIALS)}
PLACES = {
    # Python itself comes with two wheels, for venv.
    "a cache of pip": re.compile(r"(^|/)\.cache/(pip|uv)/|(^|/)pip-(unpack|build)|(?<!ensurepip/_bundled)/[^/]*\.whl$"),
    "a cache of apt": re.compile(r"^var/lib/apt/lists/.*(Packages|Release)|^var/cache/apt/.*\.(deb|bin)$"),
    "version control": re.compile(r"(^|/)\.git/"),
    "tests of ours": re.compile(r"^app/(tests|demo|benchmarks)/|^app/.*/(test_\w+|conftest)\.py$"),
    "a file that the app does not need": re.compile(r"^app/(?!(components|trainer_image|serving_image)(/|$)).+"),
}
# What begins a secret, which is quick to look for, and what one looks like: with a key, not the name of a format alone.
SECRETS = {
    b"PRIVATE KEY-----": re.compile(rb"PRIVATE KEY-----(?:\\n|\s)+[A-Za-z0-9+/=]{40}"),
    b"AKIA": re.compile(rb"\bAKIA[0-9A-Z]{16}\b"),
    b"AIza": re.compile(rb"\bAIza[0-9A-Za-z_-]{35}\b"),
    b"ya29.": re.compile(rb"\bya29\.[0-9A-Za-z_-]{30,}"),
    b"ghp_": re.compile(rb"\bghp_[0-9A-Za-z]{36}\b"),
    b"github_pat_": re.compile(rb"\bgithub_pat_[0-9A-Za-z_]{40,}"),
    b"glpat-": re.compile(rb"\bglpat-[0-9A-Za-z_-]{20}\b"),
    b"xox": re.compile(rb"\bxox[abpr]-[0-9]{8,}-[0-9A-Za-z-]{20,}"),
    b"index-url": re.compile(rb"index-url\s*=\s*https?://[^/\s:@]+:[^/\s@]+@"),
}
# Keys that everybody has: of the libraries' own tests.
PUBLIC = re.compile(r"usr/lib/[^/]+/libgnutls\.so\.[\d.]+|opt/venv/.*/site-packages/google/genai/tests/.*")


def findings(archive: IO[bytes]) -> Iterator[str]:
    """Reads a container's file system, as `docker export` writes it.

    Args:
        archive: The tar, read once from front to back.

    Yields:
        "what: path" for everything that should not be there.
    """
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        for member in tar:
            path = member.name.removeprefix("./")
            name = path.rpartition("/")[2]
            executable = member.issym() or (member.isfile() and member.mode & EXECUTABLE)
            if executable and COMPILER.fullmatch(name) and "bin/" in path:
                yield f"a compiler: {path}"
            yield from (f"{what}: {path}" for what, names in NAMES.items() if names.fullmatch(name))
            yield from (f"{what}: {path}" for what, places in PLACES.items() if places.search(path))
            if path.startswith(("app/", "opt/")) and member.isfile() and member.mode & (SETUID | 0o002):
                yield f"a file that others may write, or that runs as its owner: {path}"
            if member.isfile() and member.size <= MAX_TEXT:
                content = tar.extractfile(member)
                if content and _holds_secret(content.read()) and not PUBLIC.fullmatch(path):
                    yield f"a secret: in {path}"


def configuration(image: dict[str, Any], history: list[dict[str, Any]]) -> Iterator[str]:
    """Looks into what `docker inspect` and `docker history` tell of an image.

    Args:
        image: Its attributes.
        history: Its layers.

    Yields:
        What should not be so.
    """
    config = image["Config"]
    if config.get("Entrypoint"):
        yield f"an ENTRYPOINT: {config['Entrypoint']}"
    if (config.get("User") or "root").partition(":")[0] in ("root", "0"):
        yield "root as its user"
    told = json.dumps([config, history])
    if re.search(r"(PASSWORD|SECRET|TOKEN|API_KEY)\w*=", told, re.IGNORECASE) or _holds_secret(told.encode()):
        yield "a secret in its environment or history"


def _holds_secret(content: bytes) -> bool:
    return any(start in content and pattern.search(content) for start, pattern in SECRETS.items())
