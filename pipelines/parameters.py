"""A run's parameters, from a file and from name=value, checked against the compiled pipeline before they are sent."""

import json
from collections.abc import Sequence
from typing import Any

from components.common import documents, feature_config, storage, strict_json
from components.common.errors import InputError
from pipelines import job as jobs

FEATURE_CONFIG = "feature_config"


def read_spec(path: str) -> dict[str, Any]:
    """The compiled pipeline in a file.

    Raises:
        InputError: the file is not there, not JSON or YAML, or not a compiled pipeline.
    """
    document = _load(path, "the compiled pipeline", "Run python compile.py.")
    if not {"root", "deploymentSpec", "pipelineInfo"} <= set(document):
        found = "a job body" if "pipelineSpec" in document else "something else"
        raise InputError(path, found, "a compiled pipeline, such as pipeline.json", "Run python compile.py.")
    return document


def read(spec: dict[str, Any], file: str = "", pairs: Sequence[str] = (), config: str = "") -> dict[str, Any]:
    """The parameters of a run, each of the type that the pipeline declares.

    Args:
        spec: The compiled pipeline.
        file: YAML or JSON with a mapping of names to values; "" for none.
        pairs: name=value, which replace what the file says.
        config: The feature config's file, whose text becomes the parameter feature_config where there is one.

    Raises:
        InputError: a name that the pipeline does not have, a value of the wrong type, or a missing parameter.
    """
    known, values = jobs.declared(spec), {}
    for name, value in (_load(file, "the parameters", "Write lines such as epochs: 20") if file else {}).items():
        values[name] = _typed(file, name, value, known)
    given = jobs.pairs_of("--parameters", pairs)
    if FEATURE_CONFIG in known and config and not {FEATURE_CONFIG} & {*values, *given}:
        values[FEATURE_CONFIG] = storage.read_text(config, "the feature config")
    values = jobs.parameter_values(spec, pairs, values)
    if FEATURE_CONFIG in values:
        feature_config.load(values[FEATURE_CONFIG])
    return values


def _load(path: str, what: str, remedy: str) -> dict[str, Any]:
    text = storage.read_text(path, what)
    try:
        document = documents.parse(text)
    except strict_json.DocumentError as error:
        raise InputError(path, f"a file that does not parse ({error})", "YAML or JSON", remedy) from error
    if not isinstance(document, dict):
        raise InputError(path, type(document).__name__, "a mapping of names to values", remedy)
    return document


def _typed(file: str, name: str, value: Any, known: dict[str, Any]) -> Any:
    """`value` if it is of the parameter's type; a number may be written in quotes."""
    if name not in known:
        raise InputError(file, f"the parameter {name}", f"one of {', '.join(sorted(known))}", "Correct or remove it.")
    expected, types = jobs.TYPES[known[name]["parameterType"]]
    if isinstance(value, str) and types == (int, float):
        try:
            value = float(value)
        except ValueError as error:
            raise InputError(f"{file}, {name}", repr(value), expected, "Correct the value.") from error
    if not isinstance(value, types) or (isinstance(value, bool) and types is not bool) or not _is_json(value):
        raise InputError(f"{file}, {name}", repr(value), expected, "Correct the value.")
    return value


def _is_json(value: Any) -> bool:
    """Whether JSON can carry it: it knows neither NaN nor infinity nor YAML's dates."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
