"""Reads a config, YAML or JSON, into its pydantic model; an error names the entry."""

import os
from typing import TypeVar

import pydantic

from components.common import documents, storage, strict_json
from components.common.errors import InputError

Model = TypeVar("Model", bound=pydantic.BaseModel)


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
    marks = not config.strip() or any(mark in config for mark in ("\n", "{", ": "))
    is_text = marks and not os.path.isfile(config)
    where = what if is_text else config
    text = config if is_text else storage.read_text(config, what)
    try:
        document = documents.parse(text)
    except strict_json.DocumentError as error:
        raise InputError(where, str(error), "YAML or JSON, each key once", "Correct the text.") from None
    try:
        return model.model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        found = strict_json.shown(first["input"])
        raise InputError(f"{where}, {place}", found, first["msg"], remedy) from None
