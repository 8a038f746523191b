"""Vertex ML Metadata, as much as tasks' artifacts and a run's experiment need; lineage cannot be queried."""

import re
from collections.abc import Callable
from typing import Any

from tests.servers import vertex_checks
from tests.servers.vertex_checks import expect
from tests.servers.vertex_state import Call, State, now, parsed

RESOURCE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
MESSAGES = {"contexts": "Context", "artifacts": "Artifact", "executions": "Execution"}


def create_store(state: State, call: Call) -> dict[str, Any]:
    """metadataStores.create."""
    store = state.put(f"{call.name}/{call.query.get('metadataStoreId') or state.new_id()}", dict(call.body))
    return state.operation(store["name"], "CreateMetadataStoreOperationMetadata", "MetadataStore", store)


def create(state: State, call: Call) -> dict[str, Any]:
    """contexts.create, artifacts.create and executions.create."""
    kind = call.path.rpartition("/")[2]
    made = parsed(call.body, getattr(call.types, MESSAGES[kind]))
    vertex_checks.check_labels(made.get("labels", {}))
    given = call.query.get(f"{MESSAGES[kind].lower()}Id") or state.new_id()
    expect(RESOURCE_ID.fullmatch(given), f"The id {given!r} must match {RESOURCE_ID.pattern}.")
    state.get(call.name.rpartition("/")[0])
    return state.put(f"{call.name}/{given}", made)


def patch(state: State, call: Call) -> dict[str, Any]:
    """contexts.patch, artifacts.patch and executions.patch."""
    resource = state.get(call.name)
    change = parsed(call.body, getattr(call.types, MESSAGES[call.path.split("/")[-2]]))
    resource.update({**change, "name": resource["name"]}, updateTime=now())
    return resource


def add_children(state: State, call: Call) -> dict[str, Any]:
    """contexts.addContextChildren: runs of an experiment, for example."""
    state.get(call.name)
    for child in parsed(call.body, call.types.AddContextChildrenRequest).get("childContexts", []):
        parents = state.get(child).setdefault("parentContexts", [])
        if call.name not in parents:
            parents.append(call.name)
    return {}


def contexts_of(state: State, parent: str, pipeline: str, job_id: str) -> dict[str, Any]:
    """What a job's jobDetail says of the contexts that the service makes: the pipeline's and the run's."""
    store = f"{parent}/metadataStores/default"
    state.resources.setdefault(store, {"name": store, "createTime": now(), "updateTime": now()})
    made = {}
    for field, context_id, title in (
        ("pipelineContext", pipeline, "system.Pipeline"),
        ("pipelineRunContext", job_id, "system.PipelineRun"),
    ):
        name = f"{store}/contexts/{context_id}"
        described = {"displayName": context_id, "schemaTitle": title, "schemaVersion": "0.0.1"}
        made[field] = state.resources.get(name) or state.put(name, described)
    return made


ROUTES: dict[tuple[str, str, str], Callable[[State, Call], Any]] = {
    ("POST", "metadataStores", ""): create_store,
    **{("POST", f"metadataStores/*/{kind}", ""): create for kind in MESSAGES},
    **{("PATCH", f"metadataStores/*/{kind}/*", ""): patch for kind in MESSAGES},
    ("POST", "metadataStores/*/contexts/*", "addContextChildren"): add_children,
}
KINDS = ("metadataStores", *MESSAGES)
