"""What our images hold of the repository, as a folder of this machine: read from their Dockerfiles, so no second list.

Packages are this machine's. What a Dockerfile does not copy, or .dockerignore leaves out, is not there.
"""

import atexit
import functools
import re
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = {"data": "components", "trainer": "trainer_image", "serving": "serving_image"}
FOREIGN = ("PATH", "HOME", "LD_LIBRARY_PATH")  # variables that are of the image's packages and users
SLOW = "PYTHONDONTWRITEBYTECODE"  # every process would compile everything


class Image(NamedTuple):
    """An image.

    Attributes:
        folder: Stands for the container's root.
        workdir: Where commands run.
        environment: The variables that the image sets, their paths below `folder`.
    """

    folder: Path
    workdir: Path
    environment: dict[str, str]


@functools.cache
def image(address: str) -> Image:
    """Makes the folder of an image once for this process; an image that is not ours is an empty one.

    Args:
        address: Such as europe-west4-docker.pkg.dev/my-project/metro-recs/trainer:latest.

    Raises:
        FileNotFoundError: the Dockerfile copies what is not there, or what .dockerignore leaves out.
    """
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    name = re.split("[:@]", address.rpartition("/")[2])[0]
    workdir, environment = "/", dict[str, str]()
    for instruction, text in _own_stage(DOCKERFILES[name]) if name in DOCKERFILES else ():
        if instruction == "WORKDIR":
            workdir = str(Path(workdir, text))
        elif instruction == "ENV":
            environment.update(variable.partition("=")[::2] for variable in text.split())
        elif instruction == "COPY" and not text.startswith("--from"):
            *sources, target = text.split()
            for source in sources:
                _copy(source, folder / str(Path(workdir, target)).lstrip("/"), target.endswith("/"))
    kept = {name: value for name, value in environment.items() if name not in (*FOREIGN, SLOW)}
    below = {name: f"{folder}{value}" if value.startswith("/") else value for name, value in kept.items()}
    place = folder / workdir.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    return Image(folder, place, below)


def _own_stage(folder: str) -> list[tuple[str, str]]:
    """The instructions of the stage that copies our code, from the one before on its base image on."""
    text = (ROOT / folder / "Dockerfile").read_text(encoding="utf-8")
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")).replace("\\\n", " ")
    found: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM" and any(name == "WORKDIR" for name, _ in found):
            break  # stages after it are built on it
        found = [] if instruction == "FROM" else [*found, (instruction, rest.strip())]
    return found


def _copy(source: str, target: Path, is_folder: bool) -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    if f"!{source.partition('/')[0]}" not in ignored or not (ROOT / source).exists():
        raise FileNotFoundError(f"{source} is not in the images' context")
    names = [re.sub(r"^\*\*/", "", line) for line in ignored if line.startswith("**/")]
    if (ROOT / source).is_dir():
        shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns(*names), dirs_exist_ok=True)
    elif not any(fnmatch(Path(source).name, name) for name in names):
        path = target / Path(source).name if is_folder else target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, path)
