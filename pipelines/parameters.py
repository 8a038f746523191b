"""A pipeline's parameters, from a file and from name=value, checked against the compiled spec before they are sent."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

import yaml

from components.common import storage
from components.common.errors import InputError

# What KFP's types are called here, and what Python's YAML makes of them.
KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "STRING": ("text", (str,)),
    "NUMBER_INTEGER": ("a whole number", (int,)),
    "NUMBER_DOUBLE": ("a number", (int, float)),
    "BOOLEAN": ("true or false", (bool,)),
    "LIST": ("a list such as [5, 10]", (list,)),
    "STRUCT": ('an object such as {"team": "recs"}', (dict,)),
}


def read_spec(path: str, remedy: str = "Run python compile.py.") -> dict[str, Any]:
    """The compiled pipeline in a file.

    Raises:
        InputError: the file is not there, not JSON or YAML, or not a compiled pipeline.
    """
    try:
        document = yaml.safe_load(storage.read_text(path, "the compiled pipeline"))
    except yaml.YAMLError as error:
        raise InputError(path, f"a file that does not parse ({error})", "a compiled pipeline", remedy) from error
    if not isinstance(document, dict) or not {"root", "deploymentSpec", "pipelineInfo"} <= set(document):
        raise InputError(path, "something else", "a compiled pipeline with root and deploymentSpec", remedy)
    return document


def definitions(spec: dict[str, Any]) -> dict[str, Any]:
    """{parameter: its definition} of a compiled pipeline."""
    return spec["root"].get("inputDefinitions", {}).get("parameters", {})


def read(known: dict[str, Any], file: str = "", pairs: Sequence[str] = ()) -> dict[str, Any]:
    """The parameters of a run, each of the type that the spec asks for.

    Args:
        known: {parameter: its definition}, as the compiled spec has them.
        file: YAML or JSON with a mapping of names to values; "" for none.
        pairs: name=value; the value is read by the parameter's type, lists and objects as JSON or YAML, and @FILE
            stands for the text of a file. They replace what the file says.

    Raises:
        InputError: a name that the pipeline does not have, a value of the wrong type, or a missing parameter.
    """
    values = {name: _typed(file, name, value, known) for name, value in _of_file(file).items()} if file else {}
    values |= {name: _from_text(name, text, known) for name, text in pairs_of("--parameters", pairs).items()}
    missing = [
        name
        for name, definition in known.items()
        if name not in values and "defaultValue" not in definition and not definition.get("isOptional")
    ]
    if missing:
        some = " ".join(f"{name}=…" for name in missing)
        expected = "a value for every parameter without a default"
        raise InputError("parameters", f"none for {', '.join(missing)}", expected, f"Add --parameters {some}")
    return values


def pairs_of(flag: str, pairs: Sequence[str]) -> dict[str, str]:
    """{name: value} of a flag's name=value pairs."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(flag, repr(pair), "name=value", "Put = between the name and the value.")
        if name in found:
            raise InputError(flag, f"{name} twice", "every name once", "Remove one of them.")
        found[name] = value
    return found


def _of_file(path: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(storage.read_text(path, "the parameters"))
    except yaml.YAMLError as error:
        raise InputError(path, f"a file that does not parse ({error})", "YAML or JSON", "Correct the file.") from error
    if not isinstance(document, dict):
        raise InputError(
            path, type(document).__name__, "a mapping of names to values", "Write lines such as epochs: 20"
        )
    return {str(name): value for name, value in document.items()}


def _definition(where: str, name: str, known: dict[str, Any]) -> str:
    """The type of a parameter; an unknown one is an error that names its likely neighbours."""
    if name in known:
        return known[name]["parameterType"]
    near = difflib.get_close_matches(name, known, n=3) or sorted(known)
    raise InputError(where, f"the parameter {name}", f"one of {', '.join(near)}", "Correct or remove it.")


def _typed(where: str, name: str, value: Any, known: dict[str, Any]) -> Any:
    """`value` if it is of the parameter's type: YAML's numbers without a dot, like 1e-4, are text to PyYAML."""
    kind = _definition(where, name, known)
    expected, types = KINDS[kind]
    if kind == "NUMBER_DOUBLE" and isinstance(value, str):
        value = _number(value)
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "BOOLEAN") or not _finite(value):
        raise InputError(f"{where}, {name}", repr(value), expected, "Correct the value.")
    return value


def _from_text(name: str, text: str, known: dict[str, Any]) -> Any:
    kind = _definition("--parameters", name, known)
    if text.startswith("@"):
        text = storage.read_text(text[1:], f"the value of {name}")
    if kind == "STRING":
        return text
    try:
        # int first: YAML takes 010 for eight and 1_000 for a thousand.
        value = int(text) if kind == "NUMBER_INTEGER" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        value = text
    return _typed("--parameters", name, value, known)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _finite(value: Any) -> bool:
    """Whether JSON can carry it: it knows neither NaN nor infinity nor YAML's dates."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
