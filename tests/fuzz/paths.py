"""What can be wrong with a path, or only unusual; and with the place of the output."""

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from tests.fuzz.judge import Case, Scene, anything, same
from tests.fuzz.runs import Run

# The parameters of every component that name a path, and what in the run's folder they name.
INPUTS = {
    "DataExtractor": {"products": "products.parquet", "purchases": "log", "feature_config": "feature_config.yaml"},
    "VocabBuilder": {"examples": "examples", "feature_config": "feature_config.yaml"},
    "Trainer": {
        "tfrecords_path": "examples",
        "vocabularies_path": "vocabularies.json",
        "metadata_path": "examples/metadata.json",
        "feature_config": "feature_config.yaml",
    },
    "warm start": {"model": "model"},
    "Evaluator": {"model": "model", "examples": "examples", "vocabularies": "vocabularies.json"},
    "Exporter": {"model": "model", "examples": "examples", "evaluation": "evaluation"},
    "server": {"release": "release", "examples": "examples"},
    "publisher": {"release": "release"},
    "tuning": {"tfrecords_path": "examples", "vocabularies_path": "vocabularies.json"},
    "feature config": {"feature_config": "feature_config.yaml"},
    "thresholds": {"thresholds": "thresholds.yaml"},
    "search space": {"space": "space.yaml"},
}
WRITERS = {
    "DataExtractor": "output_path",
    "VocabBuilder": "output_path",
    "Trainer": "output_path",
    "Evaluator": "output_path",
    "Exporter": "output_path",
}
ODD_NAMES = (
    *("run [v1]", "run?", "run*", "[a-z]", "r{1,2}", "two words", " run ", "it's", 'quo"te', "per%20cent", "a;b", "#1"),
    *("Übung 日本", "$HOME", "~", "-rf", "back\\slash", "comma,colon:", "!x", "tab\there", "100%", "(x)", "a&b", "@x"),
)
REFUSABLE_NAMES = ("a::b", "gs::x", "new\nline", "sur\udcffrogate", "file:", "two: words", "{brace}")


def path_cases(run: Run) -> Iterator[Case]:
    """Every path of every component."""
    for component, inputs in INPUTS.items():
        for parameter, name in inputs.items():
            if not (run.folder / name).exists():
                continue
            for odd in (*ODD_NAMES, *REFUSABLE_NAMES):
                sure = odd in ODD_NAMES
                names = () if sure else ((odd, repr(odd)[1:-1], name, parameter),)
                mutate, what = _in(parameter, name, odd), f"{parameter} in {odd!r}"
                yield Case("path, odd name", component, what, mutate, names, refusable=not sure)
            for change in CHANGES:
                sure = change in (relative, linked)
                words = (name, Path(name).name, parameter, parameter.replace("_", "-"))
                yield Case(
                    f"path, {_words(change)}",
                    component,
                    parameter,
                    _changed(change, parameter, name),
                    () if sure or change is empty else (words,),
                    anything if (component, change) == ("thresholds", empty) else same,  # which keeps the defaults
                    refusable=not sure,
                )
    for component, parameter in WRITERS.items():
        for odd in (*ODD_NAMES, *REFUSABLE_NAMES):
            mutate, sure = _output(parameter, odd), odd in ODD_NAMES
            yield Case("output, odd name", component, repr(odd), mutate, refusable=not sure)
        for place in PLACES:
            mutate, sure = _placed(place, parameter), place is nested
            yield Case(f"output, {_words(place)}", component, "", mutate, refusable=not sure)
        for size in (0, 1_000, 5_000, 20_000):
            yield Case("disk, full", component, f"after {size} bytes of a file", _full(size))
        yield Case("disk, no temporary folder", component, "", _no_temporary_folder)


def relative(path: Path) -> str:
    return os.path.relpath(path)


def linked(path: Path) -> str:
    link = path.with_name("link")
    link.symlink_to(path)
    return str(link)


def slashed(path: Path) -> str:
    return f"{path}/"


def missing(path: Path) -> str:
    os.rename(path, path.with_name("elsewhere"))
    return str(path)


def empty(path: Path) -> str:
    return ""


def with_nul(path: Path) -> str:
    return f"{path}\0"


def long(path: Path) -> str:
    return f"{path}{'x' * 300}"


def protocol(path: Path) -> str:
    return f"nosuch://{path.name}"


def no_package(path: Path) -> str:
    return f"s3://bucket/{path.name}"


def file_url(path: Path) -> str:
    return f"file://{path}"


def turned(path: Path) -> str:
    """A file in the place of a folder, or the other way round."""
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("{}")
    else:
        path.unlink()
        path.mkdir()
    return str(path)


CHANGES = (relative, linked, slashed, missing, empty, with_nul, long, protocol, no_package, file_url, turned)


def _changed(change: Callable[[Path], str], parameter: str, name: str) -> Callable[[Scene], dict[str, str]]:
    def mutate(scene: Scene) -> dict[str, str]:
        return {parameter: _asked(parameter, change(scene.run.folder / name))}

    return mutate


def _asked(parameter: str, path: str) -> str:
    """What a parameter is given: of the purchases, the files in the folder."""
    return f"{path.rstrip('/')}/*.parquet" if parameter == "purchases" and path else path


def _in(parameter: str, name: str, odd: str) -> Callable[[Scene], dict[str, str]]:
    """The input in a folder of an odd name."""

    def mutate(scene: Scene) -> dict[str, str]:
        folder = scene.run.folder.parent / odd
        folder.mkdir()
        target = folder / Path(name).name
        os.rename(scene.run.folder / name, target)
        (scene.run.folder / name).symlink_to(target)  # for what else is in there
        return {parameter: _asked(parameter, str(target))}

    return mutate


def _output(parameter: str, odd: str) -> Callable[[Scene], dict[str, str]]:
    """The output in a folder of an odd name, and of that name itself."""

    def mutate(scene: Scene) -> dict[str, str]:
        folder = scene.output.parent / odd
        folder.mkdir(parents=True)
        return {parameter: str(folder / odd)}

    return mutate


def taken_file(output: Path) -> Path:
    output.parent.mkdir(parents=True)
    output.write_text("another run's")
    return output


def taken_folder(output: Path) -> Path:
    output.mkdir(parents=True)
    (output / "a file").write_text("another run's")
    return output


def below_file(output: Path) -> Path:
    return taken_file(output) / "deeper"


def in_proc(output: Path) -> Path:
    return Path("/proc/made")


def below_null(output: Path) -> Path:
    return Path("/dev/null/made")


def too_long(output: Path) -> Path:
    return output.with_name("x" * 300)


def nul_in_it(output: Path) -> Path:
    return output.with_name("a\0b")


def nothing(output: Path) -> Path:
    return Path("")


def nested(output: Path) -> Path:
    """Folders that are not there yet."""
    return output / "a" / "b"


PLACES = (taken_file, taken_folder, below_file, in_proc, below_null, too_long, nul_in_it, nothing, nested)


def _placed(place: Callable[[Path], Path], parameter: str) -> Callable[[Scene], dict[str, str]]:
    def mutate(scene: Scene) -> dict[str, str]:
        path = place(scene.output)
        return {parameter: "" if place is nothing else str(path)}

    return mutate


def _full(size: int) -> Callable[[Scene], None]:
    """No file may grow beyond so many bytes, as on a disk that is full."""

    def mutate(scene: Scene) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        scene.during.callback(resource.setrlimit, resource.RLIMIT_FSIZE, before)

    return mutate


def _no_temporary_folder(scene: Scene) -> None:
    scene.during.enter_context(mock.patch.object(tempfile, "tempdir", "/proc/nowhere"))


def _words(function: Callable[[Path], object]) -> str:
    return function.__name__.replace("_", " ")
