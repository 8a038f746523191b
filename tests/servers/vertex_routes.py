"""Which part of the local Vertex AI server answers a call."""

import importlib
import re
from collections.abc import Callable
from typing import Any

from tests.servers import (
    vertex_endpoints,
    vertex_indexes,
    vertex_jobs,
    vertex_listing,
    vertex_metadata,
    vertex_models,
    vertex_pipelines,
)
from tests.servers.vertex_faults import Faults
from tests.servers.vertex_state import CODES, Call, RefusedError, State, delete_ended

PATH = re.compile(r"/(v1|v1beta1|ui)/(projects/[^/]+/locations/[^/]+)/([^:]+)(?::(\w+))?")
Handle = Callable[[State, Call], Any]
ROUTES: dict[tuple[str, str, str], Handle] = {  # by method, resource with * for ids, and verb
    ("POST", "pipelineJobs", ""): vertex_pipelines.create_job,
    ("POST", "pipelineJobs", "batchCancel"): vertex_pipelines.cancel_jobs,
    ("POST", "pipelineJobs", "batchDelete"): vertex_pipelines.delete_jobs,
    ("GET", "pipelineJobs/*", ""): vertex_pipelines.get_job,
    ("DELETE", "pipelineJobs/*", ""): delete_ended,
    ("POST", "pipelineJobs/*", "cancel"): vertex_pipelines.cancel_job,
    ("POST", "schedules", ""): vertex_pipelines.create_schedule,
    ("PATCH", "schedules/*", ""): vertex_pipelines.patch_schedule,
    ("DELETE", "schedules/*", ""): vertex_pipelines.delete_schedule,
    ("POST", "schedules/*", "pause"): vertex_pipelines.pause_schedule,
    ("POST", "schedules/*", "resume"): vertex_pipelines.resume_schedule,
    ("POST", "customJobs", ""): vertex_jobs.create,
    ("GET", "customJobs/*", ""): vertex_jobs.get,
    ("POST", "customJobs/*", "cancel"): vertex_jobs.cancel,
    ("DELETE", "customJobs/*", ""): delete_ended,
    **vertex_models.ROUTES,
    **vertex_endpoints.ROUTES,
    **vertex_indexes.ROUTES,
    **vertex_metadata.ROUTES,
}
# What can be listed, and got as it is.
KINDS = (
    *("pipelineJobs", "schedules", "customJobs"),
    *vertex_models.KINDS,
    *vertex_endpoints.KINDS,
    *vertex_indexes.KINDS,
    *vertex_metadata.KINDS,
)


def answer(state: State, faults: Faults, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """What the service would answer.

    Raises:
        RefusedError: it would refuse.
    """
    matched = PATH.fullmatch(path)
    if matched is None:
        raise RefusedError(f"{method} {path} is not found.", "NOT_FOUND")
    version, parent, rest, verb = matched.groups()
    parts = re.sub(r"@[^/]+", "", rest).split("/")
    if "operations" in parts:
        return state.poll(f"{parent}/{rest}")
    call = Call(parent, rest, query, body, types(version))
    pattern = "/".join("*" if number % 2 else part for number, part in enumerate(parts))
    if fault := faults.take("operation", method, path):
        told = {"error": {"code": CODES[fault.status][1], "message": fault.message}}
        return state.operation(parent, "DeleteOperationMetadata", "google.protobuf.Empty", {}, told)
    handle = ROUTES.get((method, pattern, verb or ""))
    if handle:
        return handle(state, call)
    if method == "GET" and not verb and parts[-1] in KINDS and len(parts) % 2:
        return vertex_listing.page(parts[-1], state.below(call.name), query)
    if method == "GET" and not verb and parts[-2:][0] in KINDS:
        return state.get(call.name)
    raise RefusedError(f"{method} {pattern}:{verb or ''} is not in this server.", "UNIMPLEMENTED")


def types(version: str) -> Any:
    """The SDK's messages of one version of the API."""
    name = "aiplatform_v1beta1" if version == "v1beta1" else "aiplatform_v1"
    return importlib.import_module(f"google.cloud.{name}")
