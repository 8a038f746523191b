"""What can be wrong in a YAML file that a person writes."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tests.fuzz.documents import DEEP, Place, places
from tests.fuzz.files import TEXT, emptied, folder, looped, lost, noise, page, truncated
from tests.fuzz.judge import Case, Scene, anything, same
from tests.fuzz.runs import Run, replace

# Which file is read by whom.
READ_BY = {
    "feature_config.yaml": ("feature config", "DataExtractor", "VocabBuilder", "Trainer"),
    "thresholds.yaml": ("thresholds", "DataExtractor"),
    "space.yaml": ("search space",),
}
QUERY = ("cust_person_id", "revenue", "city", "timestamp", "product_id", "art_name", "weather", "")
CANDIDATE = ("product_id", "art_name", "stratbuy_domain_desc", "mge_main_cat_desc", "revenue", "brand")
MARK = "0xmark"  # stands for text that no dumper would write
WRITTEN = (  # values as text, each of a kind that YAML reads as something unexpected
    *("1e-3", "1e1", "1_000", "010", "0x10", "0b11", "1:20", "2024-01-01", "2024-01-01T00:00:00Z", ".nan", ".inf"),
    *("-.inf", "yes", "no", "on", "true", "~", "null", '""', "'8'", "8.0", "8.5", "-1", "0", "1e400", "1" + "0" * 40),
    *("!!python/object:os.system {}", "!!binary aGk=", "!!set {a}", "!!float 8", "!!str 8", "!!int '8'", "[8]"),
    *("{a: 8}", "[]", "{}", "*nowhere", "&a [*a]", "? a", "%", "@", "`", "[", '"', "- 8", "8 # x", "|\n  8\n", "<<"),
    *("9223372036854775808", "8,5", "\\x00", "a: b: c", "[true, false]", "[1e-3]", "!!timestamp 8"),
)
TEXTS: dict[str, Callable[[str], str]] = {
    "deep list": lambda text: "query: " + "[" * DEEP + "]" * DEEP,
    "deep lists, open": lambda text: "query: " + "[" * 100 * DEEP,
    "deep map": lambda text: "{a: " * DEEP + "1" + "}" * DEEP,
    "deep block": lambda text: "\n".join("  " * depth + "a:" for depth in range(DEEP)),
    "deep sequence": lambda text: "- " * DEEP + "a",
    "aliases of aliases": lambda text: _laughs(),
    "alias of itself": lambda text: "&a [*a]",
    "map in itself": lambda text: "&a {query: *a}",
    "two documents": lambda text: f"{text}---\n{text}",
    "twice": lambda text: text + text,
    "comment": lambda text: "# nothing\n",
    "scalar": lambda text: "text",
    "number": lambda text: "12",
    "sequence": lambda text: f"- {text.splitlines()[0]} x",
    "tab": lambda text: text.replace("  ", "\t"),
    "carriage returns": lambda text: text.replace("\n", "\r\n"),
    "merge key": lambda text: f"<<: 8\n{text}",
    "unknown tag": lambda text: f"!config\n{text}",
    "key that is a list": lambda text: f"{text}? [a]\n: 8\n",
    "key that is a map": lambda text: f"{text}? {{a: 1}}\n: 8\n",
    "key that is null": lambda text: f"{text}~: 8\n",
    "key that is a number": lambda text: f"{text}8: 8\n",
    "directive": lambda text: f"%YAML 3.0\n---\n{text}",
    "nul": lambda text: f"{text}\0",
    "escape": lambda text: f"{text}\x1b[31m",
    "end in a quote": lambda text: f'{text}x: "',
}
UNCHANGED = ("carriage returns", "twice")


def config_cases(run: Run) -> Iterator[Case]:
    """Every value, every key and the whole text of every config."""
    for name, components in READ_BY.items():
        text = (run.folder / name).read_text(encoding="utf-8")
        for place, value in places(yaml.safe_load(text)):
            for component in components:
                yield from _value_cases(component, name, place, value)
        for component in components:
            for what, change in TEXTS.items():
                kind = f"YAML, {what if 'deep' in what or 'alias' in what else 'text'}"
                yield Case(kind, component, f"{name} {what}", _rewritten(name, change), ((name, "config"),))
            for number, operation in enumerate((truncated, emptied, lost, folder, page, noise, looped, *TEXT)):

                def mutate(scene: Scene, operation: Any = operation, name: str = name) -> None:
                    operation(scene.run.folder / name, scene)

                # A config that was cut off at the end of an entry, or of thresholds nothing, is one like any other.
                right = anything if operation in (truncated, emptied) else same
                what = operation.__name__.replace("_", " ")
                yield Case(f"config, {what}", component, f"{name} #{number}", mutate, ((name,),), right)
    yield from _crosses()


def _value_cases(component: str, name: str, place: Place, value: Any) -> Iterator[Case]:
    where = ".".join(map(str, place))
    names = ((name,), tuple(key for key in place if isinstance(key, str))[-2:])
    for written in WRITTEN:
        if written == str(value):
            continue
        change = _replaced(place, MARK, written)
        right = anything if _is_meant(value, written) else same
        yield Case("YAML, value", component, f"{name} {where}: {written!r}", _rewritten(name, change), names[:1], right)
    yield Case(
        "YAML, value", component, f"{name} {where} deleted", _rewritten(name, _dropped(place)), names[:1], anything
    )
    if isinstance(place[-1], str):
        for again in (value, "x", 8):
            change = _replaced(place, value, "", (f"{place[-1]}{MARK}", again))
            yield Case("YAML, key twice", component, f"{name} {where}: {again!r}", _rewritten(name, change), names)
        change = _replaced(place, value, "", (f"{place[-1]}s", value))
        yield Case("YAML, unknown key", component, f"{name} {where}s", _rewritten(name, change), names[:1])


def _is_meant(value: Any, written: str) -> bool:
    """Whether a person could mean another value of the same type."""
    if isinstance(value, list):
        return written == "[8]"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    number = yaml.safe_load(written) if written[0] in "01" else written
    try:
        return math.isfinite(float(number)) or written == ".inf"
    except (TypeError, ValueError):
        return written == ".inf"


def _crosses() -> Iterator[Case]:
    """Crosses of any columns: they work in every component, or are refused when the config is read."""
    for side, columns in (("query", QUERY), ("candidate", CANDIDATE)):
        for names in [*itertools.combinations(columns, 2), columns[:3], columns[:1], (), ("city", "city")]:
            entry = {"kind": "cross", "names": list(names), "buckets": 16}
            for component in ("feature config", "VocabBuilder", "Trainer"):

                def change(text: str, side: str = side, entry: dict[str, Any] = entry) -> str:
                    document = yaml.safe_load(text)
                    document[side]["features"].append(entry)
                    return str(yaml.safe_dump(document))

                mutate = _rewritten("feature_config.yaml", change)
                yield Case("YAML, cross", component, f"{side} {names}", mutate, (), anything)


def _rewritten(name: str, change: Callable[[str], str]) -> Callable[[Scene], None]:
    def mutate(scene: Scene) -> None:
        path = scene.run.folder / name
        replace(path, change(path.read_text(encoding="utf-8")).encode())

    return mutate


def _replaced(place: Place, value: Any, written: str, further: tuple[str, Any] | None = None) -> Callable[[str], str]:
    """Another value at a place, MARK for what is `written` there, and perhaps a further entry beside it."""

    def change(text: str) -> str:
        document = yaml.safe_load(text)
        within = document
        for key in place[:-1]:
            within = within[key]
        within[place[-1]] = value
        if further:
            within[further[0]] = further[1]
        changed = str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
        return changed.replace(f"{MARK}:", ":").replace(MARK, written)

    return change


def _dropped(place: Place) -> Callable[[str], str]:
    def change(text: str) -> str:
        document = yaml.safe_load(text)
        within = document
        for key in place[:-1]:
            within = within[key]
        del within[place[-1]]
        return str(yaml.safe_dump(document, sort_keys=False))

    return change


def _laughs() -> str:
    """Ten aliases of ten aliases of …: a billion leaves."""
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines) + "\nquery: *a9\n"
