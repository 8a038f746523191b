"""What goes into a task and what comes out of it: parameters and artifacts, as KFP's executor input has them."""

import json
import re
from typing import TYPE_CHECKING, Any

from kfp.local import placeholder_utils

from tests.servers.vertex_state import State, now

if TYPE_CHECKING:
    from tests.servers.vertex_runner import Run

# {{$.inputs.artifacts['model'].path}}, which kfp.local would answer with the URI.
PATH = re.compile(r"\{\{\$\.(inputs|outputs)\.artifacts\[(?:''|')(.+?)(?:''|')\]\.path\}\}")


def inputs(run: "Run", task: dict[str, Any], component: dict[str, Any]) -> dict[str, Any]:
    """A task's inputs: {"parameterValues": …, "artifacts": {name: artifact}}."""
    declared = component.get("inputDefinitions", {})
    parameters = {
        name: definition["defaultValue"]
        for name, definition in declared.get("parameters", {}).items()
        if "defaultValue" in definition
    }
    artifacts = {}
    given = task.get("inputs", {})
    for name, source in given.get("parameters", {}).items():
        value = _parameter(run, source)
        if value is not None:
            parameters[name] = value
    for name, source in given.get("artifacts", {}).items():
        if "taskOutputArtifact" not in source:
            raise ValueError(f"{name}: this server takes artifacts from tasks alone")
        origin = source["taskOutputArtifact"]
        artifacts[name] = run.outputs[origin["producerTask"]]["artifacts"][origin["outputArtifactKey"]]
    for name, definition in declared.get("parameters", {}).items():
        if name in parameters and definition["parameterType"] == "NUMBER_INTEGER":
            parameters[name] = int(parameters[name])
    return {"parameterValues": parameters, "artifacts": artifacts}


def _parameter(run: "Run", source: dict[str, Any]) -> Any:
    if "runtimeValue" in source:
        return source["runtimeValue"].get("constant")
    if "taskOutputParameter" in source:
        origin = source["taskOutputParameter"]
        return run.outputs[origin["producerTask"]]["parameters"][origin["outputParameterKey"]]
    name = source["componentInputParameter"]
    definition = run.job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"][name]
    return run.job["runtimeConfig"].get("parameterValues", {}).get(name, definition.get("defaultValue"))


def outputs(run: "Run", component: dict[str, Any], folder: str) -> dict[str, Any]:
    """Where a task's outputs are to go: artifacts in gs:// folders, parameters in files."""
    declared = component.get("outputDefinitions", {})
    local = str(run.state.folder / folder.removeprefix("gs://"))
    return {
        "artifacts": {
            name: artifact(run.state, run.job, f"{folder}/{name}", definition["artifactType"], {})
            for name, definition in declared.get("artifacts", {}).items()
        },
        "parameters": {name: {"outputFile": f"{local}/{name}"} for name in declared.get("parameters", {})},
        "outputFile": f"{local}/executor_output.json",
    }


def artifact(state: State, job: dict[str, Any], uri: str, kind: dict[str, Any], metadata: dict[str, Any]) -> dict:
    """An artifact as the metadata store would have it."""
    parent = job["name"].rpartition("/pipelineJobs/")[0]
    made = {key: kind[key] for key in ("schemaTitle", "schemaVersion") if key in kind}
    name = f"{parent}/metadataStores/default/artifacts/{state.new_id()}"
    return {"name": name, "uri": uri, "metadata": metadata, "createTime": now(), "state": "PENDING", **made}


def imported(run: "Run", importer: dict[str, Any], parameters: dict[str, Any], component: dict[str, Any]) -> dict:
    """The outputs of an importer: the artifact is what the URI says, whether something is there or not."""
    uri = importer["artifactUri"]
    address = parameters[uri["runtimeParameter"]] if "runtimeParameter" in uri else uri["constant"]
    made = artifact(run.state, run.job, address, importer["typeSchema"], importer.get("metadata", {}))
    _publish(run.state, made)
    (name,) = component["outputDefinitions"]["artifacts"]
    return {"parameters": {}, "artifacts": {name: made}}


def collected(state: State, asked: dict[str, Any]) -> dict[str, Any]:
    """What a task wrote: KFP's executor output, or files for parameters and nothing for artifacts."""
    try:
        with open(asked["outputFile"], encoding="utf-8") as file:
            written = json.load(file)
    except FileNotFoundError:
        written = {}
    parameters = dict(written.get("parameterValues", {}))
    for name, place in asked["parameters"].items():
        if name not in parameters:
            with open(place["outputFile"], encoding="utf-8") as file:
                parameters[name] = file.read()
    for name, made in asked["artifacts"].items():
        for told in written.get("artifacts", {}).get(name, {}).get("artifacts", []):
            made.update(uri=told["uri"], metadata=told["metadata"])
        _publish(state, made)
    return {"parameters": parameters, "artifacts": asked["artifacts"]}


def _publish(state: State, made: dict[str, Any]) -> None:
    with state.lock:
        state.resources[made["name"]] = made
        made.update(state="LIVE", updateTime=now())


def artifact_lists(artifacts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Artifacts as taskDetails has them."""
    return {name: {"artifacts": [value]} for name, value in artifacts.items()}


def as_executor_input(asked: dict[str, Any]) -> dict[str, Any]:
    """Inputs and outputs as KFP's executor reads them."""
    copied: dict[str, Any] = json.loads(json.dumps(asked))
    for side in copied.values():
        for name, made in side["artifacts"].items():
            kind = {key: made[key] for key in ("schemaTitle", "schemaVersion") if key in made}
            described = {"name": made["name"], "type": kind, "uri": made["uri"], "metadata": made["metadata"]}
            side["artifacts"][name] = {"artifacts": [described]}
    return copied


def resolved(run: "Run", command: list[str], executor_input: dict[str, Any], task: str) -> list[str]:
    """A container's command with KFP's placeholders filled in."""

    def local(matched: re.Match[str]) -> str:
        uri = executor_input[matched[1]]["artifacts"][matched[2]]["artifacts"][0]["uri"]
        return str(run.state.folder / uri.removeprefix("gs://"))

    return placeholder_utils.replace_placeholders(
        full_command=[PATH.sub(local, part) for part in command],
        executor_input_dict=executor_input,
        pipeline_resource_name=run.job["name"],
        task_resource_name=task,
        pipeline_root=run.root,
        unique_pipeline_id=run.job["name"].rpartition("/")[2],
    )
