"""Lists of resources: filter, order and pages, as Vertex AI's list methods take them."""

import re
from typing import Any

from tests.servers.vertex_state import RefusedError

TERM = re.compile(r'([\w.]+)\s*(!=|>=|<=|=|>|<|:)\s*(?:"([^"]*)"|([^\s"]+))')
PAGE_SIZE = 50


def page(kind: str, resources: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A page of a list.

    Args:
        kind: The collection, for example pipelineJobs.
        resources: All of it, the newest first.
        query: The query's parameters.
    """
    found = [resource for resource in resources if matches(resource, query.get("filter", ""))]
    for order in reversed([part for part in query.get("orderBy", "").split(",") if part.strip()]):
        field, _, direction = order.strip().partition(" ")
        found.sort(key=lambda resource: str(_value(resource, field)), reverse=direction.strip().lower() == "desc")
    first, size = int(query.get("pageToken") or 0), int(query.get("pageSize") or 0) or PAGE_SIZE
    answer: dict[str, Any] = {kind: found[first : first + size]}
    if first + size < len(found):
        answer["nextPageToken"] = str(first + size)
    return answer


def matches(resource: dict[str, Any], text: str) -> bool:
    """Whether a filter lets a resource through: terms with AND, OR and NOT, without parentheses.

    Raises:
        RefusedError: it cannot be read.
    """
    if not text.strip():
        return True
    sides = [re.split(r"\s+AND\s+", side) for side in re.split(r"\s+OR\s+", text)]
    return any(all(_term(resource, term) for term in terms) for terms in sides)


def _term(resource: dict[str, Any], text: str) -> bool:
    negated = text.strip().startswith("NOT ")
    text = text.strip().removeprefix("NOT ").strip()
    if re.fullmatch(r"labels\.[\w-]+", text):
        return negated != (_value(resource, text) is not None)
    matched = TERM.fullmatch(text)
    if matched is None:
        raise RefusedError(f"Invalid filter {text!r}.")
    field, operator, quoted, bare = matched.groups()
    found, wanted = _value(resource, field), quoted if quoted is not None else bare
    if operator == ":" and wanted == "*":
        return negated != (found is not None)
    known = "" if found is None else str(found)
    pattern = ".*".join(re.escape(part) for part in wanted.split("*"))
    result = {
        "=": bool(re.fullmatch(pattern, known)),
        ":": bool(re.fullmatch(pattern, known)),
        "!=": not re.fullmatch(pattern, known),
        "<": known < wanted,
        ">": known > wanted,
        "<=": known <= wanted,
        ">=": known >= wanted,
    }[operator]
    return negated != result


def _value(resource: dict[str, Any], field: str) -> Any:
    if field in ("pipeline_name", "pipelineName"):
        return resource.get("pipelineSpec", {}).get("pipelineInfo", {}).get("name")
    value: Any = resource
    for part in field.split(".", 1):  # a label's key may have any form
        camel = re.sub(r"_(\w)", lambda matched: matched[1].upper(), part) if value is resource else part
        if not isinstance(value, dict) or camel not in value:
            return None
        value = value[camel]
    return value
