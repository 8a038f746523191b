"""What Vertex AI refuses when something is created, as far as its documents tell.

Labels, ids and fields: https://cloud.google.com/vertex-ai/docs/reference/rest and
https://cloud.google.com/compute/docs/labeling-resources#requirements.
"""

import re
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from tests.servers import vertex_cron
from tests.servers.vertex_state import RefusedError

JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
PIPELINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
LABEL = re.compile(r"[-_\w]{0,63}")  # of any alphabet, without capitals
LABELS = 64
BUCKET = re.compile(r"gs://[a-z0-9][-._a-z0-9]{1,61}[a-z0-9](/.*)?", re.DOTALL)
# Vertex AI pulls from Artifact Registry, Container Registry and Docker Hub; a bare name is Docker Hub's.
IMAGE = re.compile(r"([\w.-]+(:\d+)?/)?[a-z0-9][a-z0-9._/-]*(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?")
ACCOUNT = re.compile(r"[a-z0-9][a-z0-9-]*@[a-z0-9.-]+\.(gserviceaccount\.com)")
NETWORK = re.compile(r"projects/[^/]+/global/networks/[^/]+")
SCHEMA = "2.1.0"
TYPES: dict[str, Any] = {
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "STRING": str,
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}


def expect(condition: Any, message: str) -> None:
    if not condition:
        raise RefusedError(message)


def update_mask(query: dict[str, str], allowed: tuple[str, ...]) -> list[str]:
    """The fields that a patch names, in camel case; each must be one that may be changed."""
    camel = re.sub(r"_(\w)", lambda matched: matched[1].upper(), query.get("updateMask", ""))
    mask = [path for path in camel.split(",") if path]
    expect(mask, "updateMask is required.")
    for path in mask:
        expect(path in allowed, f"{path} cannot be updated.")
    return mask


def check_labels(labels: dict[str, str]) -> None:
    expect(len(labels) <= LABELS, f"There are {len(labels)} labels; at most {LABELS} are allowed.")
    for key, value in labels.items():
        expect(key and key[0].isalpha(), f"Label key {key!r} must start with a lowercase letter.")
        for text in (key, value):
            expect(
                LABEL.fullmatch(text) and text == text.lower(),
                f"Label {key!r}: {text!r} must have at most 63 lowercase letters, numbers, dashes or underscores.",
            )


def check_uri(uri: str, field: str) -> None:
    expect(BUCKET.fullmatch(uri), f"{field}: {uri!r} is not a valid Cloud Storage URI, gs://BUCKET/PATH.")


def check_display_name(resource: dict[str, Any]) -> None:
    name = resource.get("displayName", "")
    expect(name, "displayName is required.")
    expect(len(name.encode()) <= 128, f"displayName has {len(name.encode())} bytes; at most 128 are allowed.")


def check_identity(resource: dict[str, Any]) -> None:
    account, network = resource.get("serviceAccount", ""), resource.get("network", "")
    expect(not account or ACCOUNT.fullmatch(account), f"Service account {account!r} is not valid.")
    expect(not network or NETWORK.fullmatch(network), f"Network {network!r} must be projects/P/global/networks/N.")


def check_accelerator(name: str, types: Any, where: str) -> None:
    known = set(types.AcceleratorType.__members__) - {"ACCELERATOR_TYPE_UNSPECIFIED"}
    expect(not name or name.startswith("{{") or name in known, f"{where}: unknown accelerator type {name!r}.")


def check_job_id(job_id: str) -> None:
    expect(JOB_ID.fullmatch(job_id), f"pipelineJobId {job_id!r} must match {JOB_ID.pattern}.")


def check_pipeline_job(job: dict[str, Any], types: Any) -> None:
    """A PipelineJob that was parsed: its spec, the executors that the spec keeps unchecked, and its parameters."""
    expect(len(job.get("displayName", "").encode()) <= 128, "displayName has more than 128 bytes.")
    check_labels(job.get("labels", {}))
    check_identity(job)
    expect(job.get("pipelineSpec"), "pipelineSpec is required.")
    spec, config = job["pipelineSpec"], job.get("runtimeConfig", {})
    check_uri(config.get("gcsOutputDirectory", ""), "runtimeConfig.gcsOutputDirectory")
    _check_spec(spec, types)
    declared = spec["root"].get("inputDefinitions", {})
    _check_parameters(config.get("parameterValues", {}), declared.get("parameters", {}))
    for name, artifact in declared.get("artifacts", {}).items():
        given = name in config.get("inputArtifacts", {}) or artifact.get("isOptional")
        expect(given, f"Input artifact {name} is required.")


def check_schedule(schedule: dict[str, Any], parent: str, types: Any) -> None:
    check_display_name(schedule)
    expect(int(schedule.get("maxConcurrentRunCount", 0)) > 0, "maxConcurrentRunCount must be positive.")
    try:
        vertex_cron.parse(schedule.get("cron", ""))
    except ValueError as error:
        raise RefusedError(f"Invalid cron {schedule.get('cron', '')!r}: {error}.") from None
    request = schedule.get("createPipelineJobRequest", {})
    expect(
        request.get("parent") == parent,
        f"createPipelineJobRequest.parent is {request.get('parent')!r}; it must be the schedule's, {parent}.",
    )
    expect("pipelineJob" in request, "createPipelineJobRequest.pipelineJob is required.")
    check_pipeline_job(request["pipelineJob"], types)


def check_custom_job(job: dict[str, Any], types: Any) -> None:
    check_display_name(job)
    check_labels(job.get("labels", {}))
    spec = job.get("jobSpec", {})
    check_identity(spec)
    base = spec.get("baseOutputDirectory", {}).get("outputUriPrefix")
    if base is not None:
        check_uri(base, "baseOutputDirectory")
    pools = spec.get("workerPoolSpecs", [])
    expect(pools, "jobSpec.workerPoolSpecs is required.")
    expect(int(pools[0].get("replicaCount", 0)) == 1, "workerPoolSpecs[0] must have one replica.")
    for number, pool in enumerate(pools):
        where = f"workerPoolSpecs[{number}]"
        if not int(pool.get("replicaCount", 0)):
            continue  # an empty pool keeps its place
        machine = pool.get("machineSpec", {})
        expect(machine.get("machineType"), f"{where}.machineSpec.machineType is required.")
        check_accelerator(machine.get("acceleratorType", ""), types, where)
        container = pool.get("containerSpec", {})
        expect(
            "pythonPackageSpec" in pool or container.get("imageUri"),
            f"{where} needs a containerSpec or a pythonPackageSpec.",
        )
        if container:
            check_image(container.get("imageUri", ""), where)


def check_image(image: str, where: str) -> None:
    expect(IMAGE.fullmatch(image), f"{where}: {image!r} is not a valid image URI.")


def _check_spec(spec: dict[str, Any], types: Any) -> None:
    proto = _strict(spec, pb.PipelineSpec)
    expect(proto.schema_version == SCHEMA, f"Unsupported pipelineSpec.schemaVersion {proto.schema_version!r}.")
    name = proto.pipeline_info.name
    expect(PIPELINE_NAME.fullmatch(name), f"pipelineInfo.name {name!r} must match {PIPELINE_NAME.pattern}.")
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for label, component in spec.get("components", {}).items():
        executor = component.get("executorLabel")
        expect(not executor or executor in executors, f"Component {label} has no executor {executor!r}.")
    for task, used in _tasks(spec["root"]):
        expect(used in spec["components"], f"Task {task} has no component {used!r}.")
    for label, executor in executors.items():
        _strict(executor, pb.PipelineDeploymentConfig.ExecutorSpec)
        if "container" in executor:
            check_image(executor["container"].get("image", ""), label)
            accelerator = executor["container"].get("resources", {}).get("accelerator", {})
            check_accelerator(accelerator.get("resourceType") or accelerator.get("type", ""), types, label)


def _check_parameters(given: dict[str, Any], declared: dict[str, Any]) -> None:
    for name, value in given.items():
        expect(name in declared, f"Parameter {name} is not defined in the pipeline.")
        kind = declared[name]["parameterType"]
        right = isinstance(value, TYPES[kind]) and (kind == "BOOLEAN" or not isinstance(value, bool))
        whole = kind != "NUMBER_INTEGER" or (right and value == int(value))
        expect(right and whole, f"Parameter {name} must be {kind}; got {value!r}.")
    for name, parameter in declared.items():
        present = name in given or "defaultValue" in parameter or parameter.get("isOptional")
        expect(present, f"Parameter {name} is required.")


def _tasks(component: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for name, task in component.get("dag", {}).get("tasks", {}).items():
        yield name, task["componentRef"]["name"]


def _strict(body: dict[str, Any], message: Any) -> Any:
    proto = message()
    try:
        json_format.ParseDict(body, proto)
    except json_format.ParseError as error:
        raise RefusedError(f"Invalid pipelineSpec. {error}") from None
    return proto
