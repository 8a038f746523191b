"""What the local Vertex AI server holds, and how it reads and refuses what it is sent."""

import copy
import datetime
import itertools
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import json_format

CODES = {
    "INVALID_ARGUMENT": (400, 3),
    "FAILED_PRECONDITION": (400, 9),
    "UNAUTHENTICATED": (401, 16),
    "PERMISSION_DENIED": (403, 7),
    "NOT_FOUND": (404, 5),
    "ALREADY_EXISTS": (409, 6),
    "RESOURCE_EXHAUSTED": (429, 8),
    "INTERNAL": (500, 13),
    "UNIMPLEMENTED": (501, 12),
    "UNAVAILABLE": (503, 14),
}  # of HTTP and of gRPC: https://cloud.google.com/apis/design/errors
PROJECT_NUMBER = "1234"  # the storage emulator's, which the SDK compares a bucket's with
TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED", "NOT_TRIGGERED"}


class RefusedError(Exception):
    """An answer that is an error, by one of the names in CODES."""

    def __init__(self, message: str, status: str = "INVALID_ARGUMENT"):
        super().__init__(message)
        self.status = status


@dataclass
class State:
    """Everything the server knows.

    Args:
        folder: Stands for Cloud Storage: its folders are the buckets.
        runs: Whether pipelines and custom jobs are run as processes of this machine.

    Attributes:
        resources: By full name, what the service would answer to a GET.
        operations: By full name: the finished operation, and how often it is still to be called unfinished.
        requests: Method, path and body of every call, in order.
        ends: How a job that is not run ends once it was asked for twice; "" leaves it running.
        environment: What points a process at this server.
        threads: The runs that are under way.
        stopping: By job, set when its processes are to end.
        cached: Outputs of earlier tasks by what went into them.
    """

    folder: Path
    runs: bool = False
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    operations: dict[str, tuple[dict[str, Any], int]] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    ends: str = "SUCCEEDED"
    environment: dict[str, str] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)
    stopping: dict[str, threading.Event] = field(default_factory=dict)
    cached: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1001))

    def new_id(self) -> str:
        return str(next(self.ids))

    def get(self, name: str) -> dict[str, Any]:
        """The resource itself, not a copy."""
        if name not in self.resources:
            raise RefusedError(f"{name} is not found.", "NOT_FOUND")
        return self.resources[name]

    def put(self, name: str, resource: dict[str, Any]) -> dict[str, Any]:
        if name in self.resources:
            raise RefusedError(f"{name} already exists.", "ALREADY_EXISTS")
        time = now()
        resource.update(name=name, createTime=time, updateTime=time)
        self.resources[name] = resource
        return resource

    def below(self, parent: str) -> list[dict[str, Any]]:
        """The resources of a collection, the newest first."""
        pattern = re.compile(re.escape(parent) + "/[^/@]+")  # versions of a model have an @
        return [resource for name, resource in reversed(self.resources.items()) if pattern.fullmatch(name)]

    def operation(
        self, parent: str, metadata: str, response: str, value: dict[str, Any], told: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Starts a long-running operation; its second poll finds it done.

        Args:
            parent: The resource or location that it belongs to.
            metadata: The metadata's message, without its package.
            response: The response's message; a full name where it is not of Vertex AI.
            value: The response, which stays what it is now.
            told: More of the metadata; with "error", the operation fails with it.
        """
        name, package = f"{parent}/operations/{self.new_id()}", "type.googleapis.com/google.cloud.aiplatform.v1."
        kind = f"type.googleapis.com/{response}" if "." in response else package + response
        time = now()
        more = dict(told or {})
        error = more.pop("error", None)
        described = {"@type": package + metadata, "genericMetadata": {"createTime": time, "updateTime": time}, **more}
        outcome = {"error": error} if error else {"response": {"@type": kind, **copy.deepcopy(value)}}
        unfinished = {"name": name, "metadata": described}
        self.operations[name] = ({**unfinished, "done": True, **outcome}, 1)
        return unfinished

    def delete(self, parent: str, name: str) -> dict[str, Any]:
        """Removes a resource.

        Returns:
            The operation that says so.
        """
        self.get(name)
        del self.resources[name]
        return self.operation(parent, "DeleteOperationMetadata", "google.protobuf.Empty", {})

    def poll(self, name: str) -> dict[str, Any]:
        if name not in self.operations:
            raise RefusedError(f"{name} is not found.", "NOT_FOUND")
        finished, left = self.operations[name]
        self.operations[name] = (finished, max(0, left - 1))
        return finished if not left else {key: finished[key] for key in ("name", "metadata")}


@dataclass(frozen=True)
class Call:
    """A request for a resource.

    Args:
        parent: projects/…/locations/….
        path: The rest of the path, without a verb.
        query: The query's parameters.
        body: The JSON body.
        types: google.cloud.aiplatform_v1 or google.cloud.aiplatform_v1beta1, as the path says.
    """

    parent: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]
    types: ModuleType

    @property
    def name(self) -> str:
        return f"{self.parent}/{self.path}"


def is_over(job: dict[str, Any]) -> bool:
    """Whether a pipeline job or a custom job has ended."""
    return job["state"].rpartition("STATE_")[2] in TERMINAL


def delete_ended(state: State, call: Call) -> dict[str, Any]:
    """pipelineJobs.delete and customJobs.delete."""
    job = state.get(call.name)
    if not is_over(job):
        raise RefusedError(f"{call.name} is in state {job['state']}; cancel it first.", "FAILED_PRECONDITION")
    return state.delete(call.parent, call.name)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


def parsed(body: dict[str, Any], message: Any) -> dict[str, Any]:
    """A body as the service keeps it: every field known, enums by name.

    Args:
        body: JSON.
        message: The class of google.cloud.aiplatform that it must be.

    Raises:
        RefusedError: naming the field.
    """
    protobuf = message.pb()()
    try:
        json_format.ParseDict(body, protobuf)
    except (json_format.ParseError, TypeError, AttributeError) as error:
        raise RefusedError(f"Invalid JSON payload received. {error}") from None
    return json_format.MessageToDict(protobuf)
