"""Vector Search's indexes and index endpoints, as Vertex AI's REST API has them.

An index is filled from JSON lines in Cloud Storage, which are read and checked:
https://cloud.google.com/vertex-ai/docs/vector-search/setup/format-structure
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.servers import vertex_checks
from tests.servers.vertex_checks import expect
from tests.servers.vertex_state import Call, RefusedError, State, now, parsed

DEPLOYED_ID = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,127}")
FIELDS = {"id", "embedding", "restricts", "numeric_restricts", "crowding_tag", "sparse_embedding", "embedding_metadata"}


def create_index(state: State, call: Call) -> dict[str, Any]:
    """indexes.create."""
    index = parsed(call.body, call.types.Index)
    vertex_checks.check_display_name(index)
    vertex_checks.check_labels(index.get("labels", {}))
    config = index.get("metadata", {}).get("config", {})
    expect(config.get("dimensions", 0) > 0, "metadata.config.dimensions is required.")
    brute = "bruteForceConfig" in config.get("algorithmConfig", {})
    expect(
        brute or config.get("approximateNeighborsCount", 0) > 0,
        "metadata.config.approximateNeighborsCount is required for tree-AH indexes.",
    )
    told, count = _filled(state, index)
    name = f"{call.parent}/indexes/{state.new_id()}"
    if "error" in told:
        return state.operation(name, "CreateIndexOperationMetadata", "Index", {}, told)
    made = {**index, "deployedIndexes": [], "indexStats": {"vectorsCount": str(count)}}
    resource = state.put(name, made)
    return state.operation(name, "CreateIndexOperationMetadata", "Index", resource, told)


def patch_index(state: State, call: Call) -> dict[str, Any]:
    """indexes.patch, of its content too."""
    index, change = state.get(call.name), parsed(call.body, call.types.Index)
    mask = vertex_checks.update_mask(call.query, ("displayName", "description", "labels", "metadata"))
    kept = {name: value for name, value in index.items() if name not in mask or name == "metadata"}
    changed = {**kept, **{path: change[path] for path in mask if path in change}}  # what is named and empty is gone
    told: dict[str, Any] = {}
    if "metadata" in mask:
        config = index["metadata"]["config"]
        changed["metadata"] = {**change.get("metadata", {}), "config": config}  # the config never changes
        told, count = _filled(state, changed)
        overwrites = change["metadata"].get("isCompleteOverwrite", False)
        before = 0 if overwrites else int(index["indexStats"]["vectorsCount"])
        changed["indexStats"] = {"vectorsCount": str(before + count)}
    if "error" not in told:
        index.update(changed, updateTime=now())
    return state.operation(call.name, "UpdateIndexOperationMetadata", "Index", index, told)


def delete_index(state: State, call: Call) -> dict[str, Any]:
    """indexes.delete; not while it is deployed."""
    if state.get(call.name)["deployedIndexes"]:
        raise RefusedError(f"{call.name} is deployed; undeploy it first.", "FAILED_PRECONDITION")
    return state.delete(call.parent, call.name)


def create_endpoint(state: State, call: Call) -> dict[str, Any]:
    """indexEndpoints.create."""
    endpoint = parsed(call.body, call.types.IndexEndpoint)
    vertex_checks.check_display_name(endpoint)
    vertex_checks.check_labels(endpoint.get("labels", {}))
    public = endpoint.get("publicEndpointEnabled", False)
    expect(not (public and "network" in endpoint), "An index endpoint is public or has a network, not both.")
    number = state.new_id()
    if public:
        region = call.parent.rpartition("/")[2]
        endpoint["publicEndpointDomainName"] = f"{number}.{region}.vdb.vertexai.goog"
    resource = state.put(f"{call.parent}/indexEndpoints/{number}", {**endpoint, "deployedIndexes": []})
    return state.operation(resource["name"], "CreateIndexEndpointOperationMetadata", "IndexEndpoint", resource)


def deploy_index(state: State, call: Call) -> dict[str, Any]:
    """indexEndpoints.deployIndex."""
    endpoint = state.get(call.name)
    deployed = parsed(call.body, call.types.DeployIndexRequest).get("deployedIndex", {})
    name = deployed.get("id", "")
    expect(DEPLOYED_ID.fullmatch(name), f"deployedIndex.id {name!r} must match {DEPLOYED_ID.pattern}.")
    index = state.get(deployed.get("index", ""))
    if any(other["id"] == name for other in endpoint["deployedIndexes"]):
        raise RefusedError(f"Deployed index {name} already exists.", "ALREADY_EXISTS")
    made = {**deployed, "createTime": now(), "indexSyncTime": now()}
    endpoint["deployedIndexes"].append(made)
    index["deployedIndexes"].append({"indexEndpoint": endpoint["name"], "deployedIndexId": name})
    answer = {"deployedIndex": made}
    return state.operation(endpoint["name"], "DeployIndexOperationMetadata", "DeployIndexResponse", answer)


def undeploy_index(state: State, call: Call) -> dict[str, Any]:
    """indexEndpoints.undeployIndex."""
    endpoint = state.get(call.name)
    wanted = parsed(call.body, call.types.UndeployIndexRequest).get("deployedIndexId", "")
    found = [other for other in endpoint["deployedIndexes"] if other["id"] == wanted]
    if not found:
        raise RefusedError(f"Deployed index {wanted} is not found.", "NOT_FOUND")
    endpoint["deployedIndexes"].remove(found[0])
    index = state.get(found[0]["index"])
    index["deployedIndexes"].remove({"indexEndpoint": endpoint["name"], "deployedIndexId": wanted})
    return state.operation(endpoint["name"], "UndeployIndexOperationMetadata", "UndeployIndexResponse", {})


def delete_endpoint(state: State, call: Call) -> dict[str, Any]:
    """indexEndpoints.delete; not while an index is deployed."""
    if state.get(call.name)["deployedIndexes"]:
        raise RefusedError(f"{call.name} has deployed indexes; undeploy them first.", "FAILED_PRECONDITION")
    return state.delete(call.parent, call.name)


def _filled(state: State, index: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Reads an index's content.

    Returns:
        The operation's metadata, with an error where records are wrong, and the number of records.
    """
    uri = index.get("metadata", {}).get("contentsDeltaUri", "")
    if not uri:
        return {}, 0
    vertex_checks.check_uri(uri, "metadata.contentsDeltaUri")
    dimensions = int(index["metadata"]["config"]["dimensions"])
    errors, count = [], 0
    for file, line in _lines(state, uri):
        kind, message = _record_error(line, dimensions)
        count += not kind
        if kind:
            errors.append({"errorType": kind, "errorMessage": message, "sourceGcsUri": file, "rawRecord": line})
    stats = {"sourceGcsUri": uri, "validRecordCount": str(count), "invalidRecordCount": str(len(errors))}
    if errors:
        stats["partialErrors"] = errors[:10]
    told: dict[str, Any] = {"nearestNeighborSearchOperationMetadata": {"contentValidationStats": [stats]}}
    if errors or not count:
        reason = errors[0]["errorMessage"] if errors else f"there are no records in {uri}"
        told["error"] = {"code": 3, "message": f"Invalid index content: {reason}."}
    return told, count


def _lines(state: State, uri: str) -> Iterator[tuple[str, str]]:
    folder = state.folder / uri.removeprefix("gs://")
    for path in sorted(folder.glob("*")):
        if path.is_file():
            expect(path.suffix == ".json", f"{path.name}: this server reads JSON lines, in files named *.json.")
            for line in path.read_text(encoding="utf-8").splitlines():
                yield f"gs://{path.relative_to(state.folder).as_posix()}", line


def _record_error(line: str, dimensions: int) -> tuple[str, str]:
    """What is wrong with a record, as the service names it, and a sentence; empty where nothing is."""
    try:
        record = json.loads(line)
    except ValueError as error:
        return ("INVALID_JSON_SYNTAX" if line.strip() else "EMPTY_LINE"), f"no JSON: {error}"
    if not isinstance(record, dict) or set(record) - FIELDS:
        return "PARSING_ERROR", f"unknown fields in {line[:80]}"
    if not isinstance(record.get("id"), str) or not record["id"]:
        return "INVALID_EMBEDDING_ID", f"no id in {line[:80]}"
    embedding = record.get("embedding", [])
    if len(embedding) != dimensions:
        return "EMBEDDING_SIZE_MISMATCH", f"{record['id']} has {len(embedding)} dimensions instead of {dimensions}"
    if not all(isinstance(number, (int, float)) and abs(number) < float("inf") for number in embedding):
        return "INVALID_EMBEDDING", f"{record['id']} has a value that is no finite number"
    spaces = [restrict.get("namespace") for restrict in record.get("restricts", [])]
    if not all(spaces):
        return "NAMESPACE_MISSING", f"{record['id']} has a restrict without a namespace"
    if len(set(spaces)) < len(spaces):
        return "DUPLICATE_NAMESPACE", f"{record['id']} has a namespace twice"
    return "", ""


ROUTES: dict[tuple[str, str, str], Callable[[State, Call], Any]] = {
    ("POST", "indexes", ""): create_index,
    ("PATCH", "indexes/*", ""): patch_index,
    ("DELETE", "indexes/*", ""): delete_index,
    ("POST", "indexEndpoints", ""): create_endpoint,
    ("POST", "indexEndpoints/*", "deployIndex"): deploy_index,
    ("POST", "indexEndpoints/*", "undeployIndex"): undeploy_index,
    ("DELETE", "indexEndpoints/*", ""): delete_endpoint,
}
KINDS = ("indexes", "indexEndpoints")
