"""What can be wrong in a JSON document: in one of its values, and in its text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.judge import Case, Scene, anything, same
from tests.fuzz.runs import Run, replace

Place = tuple[str | int, ...]  # keys and indices from the top to a value
DUPLICATE = "\N{REPLACEMENT CHARACTER}again"  # at the end of a key that shall be there twice
RAW = "\N{REPLACEMENT CHARACTER}raw"  # around JSON text that json.dumps would not write
SHOWN = 2  # members of a container whose members are all alike, such as products
DEEP = 1_000
# Which document is read by whom; a path in the run's folder.
READ_BY = {
    "examples/metadata.json": ("VocabBuilder", "Trainer", "Evaluator", "Exporter", "server", "tuning"),
    "previous_metadata.json": ("DataExtractor",),
    "vocabularies.json": ("Trainer", "Evaluator", "tuning"),
    "model/model_metadata.json": ("Evaluator", "Exporter", "warm start", "tuning"),
    "evaluation/evaluation.json": ("Exporter",),
    "release/release.json": ("server", "publisher"),
}

# Figures that nothing else could prove or disprove: those of an earlier run, and of a search's own training.
UNPROVABLE = ("changed", "empty")
UNPROVEN = (("DataExtractor", "previous_metadata.json"), ("tuning", "model/model_metadata.json"))
# Faults that are seen before a field is: an error names the file alone.
OF_FILE = ("further key", "key twice", "not a number", "huge", "deep", "surrogate")


class Deleted:
    """Stands for the value of a key that shall go."""


class Change(NamedTuple):
    """A kind of fault, and what it makes of a value."""

    kind: str
    value: Any


def places(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """All values in a document but itself; of long containers the first ones and the last one."""
    members: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    if len(members) > 15:
        members = [*members[:SHOWN], members[-1]]
    for key, member in members:
        yield (*at, key), member
        yield from places(member, (*at, key))


def changes(value: Any) -> Iterator[Change]:
    """All faults of a value."""
    yield Change("deleted", Deleted)
    if value is not None:
        yield Change("null", None)
    for other in ("text", 12, 1.5, True, [], {}, ["text"], {"key": 1}):
        if not _alike(value, other):
            yield Change("wrong type", other)
    if isinstance(value, bool):
        yield Change("changed", not value)
    elif isinstance(value, int | float):
        for huge in ("1e308", "1e400", str(10**30), str(2**63)):
            yield Change("huge", _raw(huge))
        yield Change("negative", -1 - value)
        for text in ("NaN", "Infinity", "-Infinity"):
            yield Change("not a number", _raw(text))
        yield Change("changed", value + 1 if isinstance(value, int) else value * 1.5 + 0.01)
        yield Change("wrong type", str(value))
    elif isinstance(value, str):
        yield Change("huge", "x" * 100_000)
        yield Change("empty", "")
        yield Change("changed", f"{value}x")
        yield Change("surrogate", _raw('"\\ud800"'))
    elif value:
        yield Change("empty", type(value)())
        yield Change("deep", _raw("[" * DEEP + "]" * DEEP))
    if isinstance(value, list) and len(value) > 1:
        yield Change("changed", value[::-1])
        yield Change("changed", value[1:])
        yield Change("changed", [value[1], *value[1:]])


def value_cases(run: Run) -> Iterator[Case]:
    """One value of one document changed."""
    for name, components in READ_BY.items():
        if not (run.folder / name).exists():
            continue
        document = json.loads((run.folder / name).read_text(encoding="utf-8"))
        for place, value in places(document):
            for number, change in enumerate(changes(value)):
                for component in components:
                    yield _case(component, name, place, change, number)
            if isinstance(place[-1], str):
                for change in (Change("key twice", value), Change("key twice", _another(value))):
                    for component in components:
                        yield _case(component, name, place, change, int(change.value is value))
        for component in components:
            yield _case(component, name, ("surprise",), Change("further key", {"key": 1}), 0)


def _case(component: str, name: str, place: Place, change: Change, number: int) -> Case:
    def mutate(scene: Scene) -> None:
        path = scene.run.folder / name
        document = json.loads(path.read_text(encoding="utf-8"))
        within = document
        for key in place[:-1]:
            within = within[key]
        if change.value is Deleted:
            del within[place[-1]]
        elif change.kind == "key twice":
            within[f"{place[-1]}{DUPLICATE}"] = change.value
        else:
            within[place[-1]] = change.value
        replace(path, text(document).encode())

    where = ".".join(map(str, place))
    shown = "" if change.value is Deleted else f" {json.dumps(change.value, default=str)[:30]}"
    keys = tuple(key for key in place if isinstance(key, str))[-2:]
    file = (Path(name).name, *(["purchases"] if name == "previous_metadata.json" else []))  # what moved too far from it
    names = (file,) if change.kind in OF_FILE else (file, (*keys, "fingerprint"))
    right = anything if change.kind in UNPROVABLE and (component, name) in UNPROVEN else same
    return Case(f"JSON, {change.kind}", component, f"{name} {where}:{shown} #{number}", mutate, names, right)


def text(document: Any) -> str:
    """The document as JSON, with what JSON does not allow."""
    parts = json.dumps(document, ensure_ascii=False).replace(DUPLICATE, "").split(RAW)
    for number in range(1, len(parts), 2):  # between two marks, inside quotes that are none
        parts[number - 1] = parts[number - 1].removesuffix('"')
        parts[number] = json.loads(f'"{parts[number]}"')
        parts[number + 1] = parts[number + 1].removeprefix('"')
    return "".join(parts)


def _raw(json_text: str) -> str:
    return f"{RAW}{json_text}{RAW}"


def _alike(value: Any, other: Any) -> bool:
    """Whether two values are of one JSON type; numbers are."""
    kinds = [("number" if type(one) in (int, float) else type(one).__name__) for one in (value, other)]
    return kinds[0] == kinds[1]


def _another(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else type(value)()
