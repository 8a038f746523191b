"""Reads a config, YAML or JSON, into its pydantic model; an error names the entry."""

import os
from typing import TypeVar

import pydantic
import yaml

from components.common import storage
from components.common.errors import InputError

Model = TypeVar("Model", bound=pydantic.BaseModel)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml takes a tenth of PyYAML's time


def load(model: type[Model], config: str, what: str, remedy: str) -> Model:
    """Reads and validates a config.

    Args:
        model: What it must look like.
        config: The YAML or JSON text itself (as the pipeline passes it), or a path to it, local or gs://.
        what: What to call it in an error, such as "feature config".
        remedy: What to do about a wrong entry.

    Raises:
        InputError: naming the file and the entry.
    """
    is_text = any(mark in config for mark in ("\n", "{", ": ")) and not os.path.isfile(config)
    where = what if is_text else config
    text = config if is_text else storage.read_text(config, what)
    try:
        document = yaml.load(text, Loader=LOADER)  # noqa: S506  a safe one
    except (yaml.YAMLError, ValueError) as error:  # PyYAML takes 1024-64-32 for a date
        raise InputError(where, f"invalid YAML ({error})", "YAML or JSON", "Correct the syntax.") from None
    try:
        return model.model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InputError(f"{where}, {place}", _short(first["input"]), first["msg"], remedy) from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
