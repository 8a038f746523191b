"""Endpoints with their deployed models and traffic, as Vertex AI's REST API has them."""

from collections.abc import Callable
from typing import Any

from tests.servers import vertex_checks
from tests.servers.vertex_checks import expect
from tests.servers.vertex_models import version_of
from tests.servers.vertex_state import Call, RefusedError, State, now, parsed


def create_endpoint(state: State, call: Call) -> dict[str, Any]:
    """endpoints.create."""
    endpoint = parsed(call.body, call.types.Endpoint)
    vertex_checks.check_display_name(endpoint)
    vertex_checks.check_labels(endpoint.get("labels", {}))
    made = {**endpoint, "deployedModels": [], "trafficSplit": {}}
    resource = state.put(f"{call.parent}/endpoints/{call.query.get('endpointId') or state.new_id()}", made)
    return state.operation(resource["name"], "CreateEndpointOperationMetadata", "Endpoint", resource)


def deploy_model(state: State, call: Call) -> dict[str, Any]:
    """endpoints.deployModel; in trafficSplit, "0" is the model that is being deployed."""
    request, endpoint = parsed(call.body, call.types.DeployModelRequest), state.get(call.name)
    deployed = request.get("deployedModel", {})
    version = version_of(state, deployed.get("model", ""))
    machine = deployed.get("dedicatedResources", {}).get("machineSpec", {})
    expect(machine.get("machineType"), "deployedModel.dedicatedResources.machineSpec.machineType is required.")
    vertex_checks.check_accelerator(machine.get("acceleratorType", ""), call.types, "deployedModel")
    replicas = deployed["dedicatedResources"].get("minReplicaCount", 0)
    expect(replicas >= 1, f"minReplicaCount is {replicas}; it must be at least 1.")
    made = {**deployed, "id": deployed.get("id") or state.new_id(), "createTime": now()}
    made.update(model=version["name"], modelVersionId=version["versionId"])
    split = {made["id"] if key == "0" else key: share for key, share in request.get("trafficSplit", {}).items()}
    if split:
        _expect_split(split, [*(other["id"] for other in endpoint["deployedModels"]), made["id"]])
        endpoint["trafficSplit"] = split
    endpoint["deployedModels"].append(made)
    version.setdefault("deployedModels", []).append({"endpoint": endpoint["name"], "deployedModelId": made["id"]})
    answer = {"deployedModel": made}
    return state.operation(endpoint["name"], "DeployModelOperationMetadata", "DeployModelResponse", answer)


def undeploy_model(state: State, call: Call) -> dict[str, Any]:
    """endpoints.undeployModel; traffic that the model still has must be given to others."""
    request, endpoint = parsed(call.body, call.types.UndeployModelRequest), state.get(call.name)
    wanted = request.get("deployedModelId", "")
    kept = [other for other in endpoint["deployedModels"] if other["id"] != wanted]
    if len(kept) == len(endpoint["deployedModels"]):
        raise RefusedError(f"Deployed model {wanted} is not found.", "NOT_FOUND")
    split = request.get("trafficSplit") or {
        key: share for key, share in endpoint["trafficSplit"].items() if key != wanted or share
    }
    if kept and split:
        _expect_split(split, [other["id"] for other in kept])
    endpoint.update(deployedModels=kept, trafficSplit=split if kept else {})
    for version in state.resources.values():
        if "versionId" in version and "deployedModels" in version:
            version["deployedModels"] = [
                deployed for deployed in version["deployedModels"] if deployed["deployedModelId"] != wanted
            ]
    return state.operation(endpoint["name"], "UndeployModelOperationMetadata", "UndeployModelResponse", {})


def patch_endpoint(state: State, call: Call) -> dict[str, Any]:
    """endpoints.patch."""
    endpoint, change = state.get(call.name), parsed(call.body, call.types.Endpoint)
    for path in vertex_checks.update_mask(call.query, ("displayName", "description", "labels", "trafficSplit")):
        value = change.get(path, type(endpoint.get(path, ""))())
        if path == "trafficSplit" and value:
            _expect_split(value, [other["id"] for other in endpoint["deployedModels"]])
        endpoint[path] = value
    endpoint["updateTime"] = now()
    return endpoint


def delete_endpoint(state: State, call: Call) -> dict[str, Any]:
    """endpoints.delete; not while a model is deployed."""
    if state.get(call.name)["deployedModels"]:
        raise RefusedError(f"{call.name} has deployed models; undeploy them first.", "FAILED_PRECONDITION")
    return state.delete(call.parent, call.name)


def _expect_split(split: dict[str, int], deployed: list[str]) -> None:
    unknown = sorted(set(split) - set(deployed))
    expect(not unknown, f"trafficSplit names {', '.join(unknown)}, which is not deployed.")
    expect(sum(split.values()) == 100, f"trafficSplit adds up to {sum(split.values())} instead of 100.")


ROUTES: dict[tuple[str, str, str], Callable[[State, Call], Any]] = {
    ("POST", "endpoints", ""): create_endpoint,
    ("PATCH", "endpoints/*", ""): patch_endpoint,
    ("POST", "endpoints/*", "deployModel"): deploy_model,
    ("POST", "endpoints/*", "undeployModel"): undeploy_model,
    ("DELETE", "endpoints/*", ""): delete_endpoint,
}
KINDS = ("endpoints",)
