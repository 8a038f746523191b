"""A small JSON schema validator: the keywords of the feature config's schema, by the text of the 2020-12 draft.

An unknown keyword raises, so that nothing is taken for valid because nobody looked.
https://json-schema.org/draft/2020-12/json-schema-validation
"""

import re
from typing import Any

ANNOTATIONS = {"$schema", "$defs", "title", "description", "default", "examples", "discriminator"}
TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool}


def accepts(schema: Any, value: Any, root: Any = None) -> bool:
    """Whether a schema accepts a value made of dicts, lists, strings, numbers, booleans and None."""
    if isinstance(schema, bool):
        return schema
    root = schema if root is None else root
    return all(_keyword(name, schema[name], schema, value, root) for name in schema if name not in ANNOTATIONS)


def _keyword(name: str, rule: Any, schema: dict[str, Any], value: Any, root: Any) -> bool:
    is_object, is_array, is_text, is_number = (
        isinstance(value, dict),
        isinstance(value, list),
        isinstance(value, str),
        isinstance(value, int | float) and not isinstance(value, bool),
    )
    match name:
        case "type":
            if rule == "integer":
                return is_number and float(value).is_integer()
            return isinstance(value, TYPES[rule])
        case "const":
            return type(value) is type(rule) and value == rule
        case "enum":
            return any(type(value) is type(one) and value == one for one in rule)
        case "minimum":
            return not is_number or value >= rule
        case "maximum":
            return not is_number or value <= rule
        case "pattern":
            return not is_text or re.search(_ecmascript(rule), value) is not None
        case "required":
            return not is_object or set(rule) <= set(value)
        case "properties":
            return not is_object or all(accepts(rule[key], value[key], root) for key in rule if key in value)
        case "patternProperties":
            return not is_object or all(
                accepts(one, value[key], root) for key in value for form, one in rule.items() if _matches(form, key)
            )
        case "additionalProperties":
            known, forms = schema.get("properties", {}), schema.get("patternProperties", {})
            return not is_object or all(
                accepts(rule, value[key], root)
                for key in value
                if key not in known and not any(_matches(form, key) for form in forms)
            )
        case "propertyNames":
            return not is_object or all(accepts(rule, key, root) for key in value)
        case "items":
            return not is_array or all(accepts(rule, item, root) for item in value)
        case "minItems":
            return not is_array or len(value) >= rule
        case "uniqueItems":
            return not is_array or not rule or all(value.count(item) == 1 for item in value)
        case "anyOf":
            return any(accepts(one, value, root) for one in rule)
        case "oneOf":
            return sum(accepts(one, value, root) for one in rule) == 1
        case "not":
            return not accepts(rule, value, root)
        case "$ref":
            return accepts(root["$defs"][rule.removeprefix("#/$defs/")], value, root)
    raise NotImplementedError(name)


def _matches(form: str, text: str) -> bool:
    return re.search(_ecmascript(form), text) is not None


def _ecmascript(form: str) -> str:
    """Python's $ also matches before a last line break; ECMAScript's does not."""
    return re.sub(r"\$$", r"\\Z", form)
