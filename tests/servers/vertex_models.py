"""Models with their versions, aliases and evaluations, as Vertex AI's REST API has them.

A model's versions are resources of their own, NAME@VERSION; NAME is the default version.
"""

import re
from collections.abc import Callable
from typing import Any

from tests.servers import vertex_checks, vertex_listing
from tests.servers.vertex_checks import expect
from tests.servers.vertex_state import Call, RefusedError, State, now, parsed

MODEL_ID = re.compile(r"[a-z_-][a-z0-9_-]{0,62}")
ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
DEFAULT = "default"


def upload(state: State, call: Call) -> dict[str, Any]:
    """models.upload: a new model, or a version of one."""
    request = parsed(call.body, call.types.UploadModelRequest)
    model = request.get("model", {})
    vertex_checks.check_display_name(model)
    vertex_checks.check_labels(model.get("labels", {}))
    if "artifactUri" in model:
        vertex_checks.check_uri(model["artifactUri"], "model.artifactUri")
    if "containerSpec" in model:
        image = model["containerSpec"].get("imageUri", "")
        vertex_checks.check_image(image, "model.containerSpec")
        if "/vertex-ai/prediction/tf" in image:
            _expect_saved_model(state, model.get("artifactUri", ""))
    aliases = model.pop("versionAliases", [])
    for alias in aliases:
        _expect_alias(alias)
    parent = request.get("parentModel", "").partition("@")[0]
    if parent:
        number = max(int(version["versionId"]) for version in _versions(state, parent)) + 1
        name = parent
    else:
        model_id = request.get("modelId") or state.new_id()
        valid = model_id.isdigit() or MODEL_ID.fullmatch(model_id)
        expect(valid, f"modelId {model_id!r} must match {MODEL_ID.pattern}.")
        name, number = f"{call.parent}/models/{model_id}", 1
        state.put(name, {})
        aliases = [*aliases, DEFAULT]
    created = state.resources[name]["createTime"]
    told = {"versionId": str(number), "versionAliases": [], "versionCreateTime": now()}
    dedicated = {"supportedDeploymentResourcesTypes": ["DEDICATED_RESOURCES"]}
    state.put(f"{name}@{number}", {**dedicated, **model, **told}).update(name=name, createTime=created)
    _alias(state, name, str(number), aliases)
    answer = {"model": name, "modelVersionId": str(number)}
    return state.operation(name, "UploadModelOperationMetadata", "UploadModelResponse", answer)


def get_model(state: State, call: Call) -> dict[str, Any]:
    """models.get: the default version, or that of an id or alias after an @."""
    return version_of(state, call.name)


def list_versions(state: State, call: Call) -> dict[str, Any]:
    """models.listVersions, the newest first."""
    return vertex_listing.page("models", _versions(state, call.name)[::-1], call.query)


def merge_aliases(state: State, call: Call) -> dict[str, Any]:
    """models.mergeVersionAliases: adds aliases to a version, and takes those away that follow a dash."""
    expect(re.search(r"@\d+$", call.name), "The name must include a version ID explicitly.")
    wanted = parsed(call.body, call.types.MergeVersionAliasesRequest).get("versionAliases", [])
    expect(wanted, "versionAliases is required.")
    version = version_of(state, call.name)
    for alias in wanted:
        _expect_alias(alias.removeprefix("-"))
    expect(f"-{DEFAULT}" not in wanted, "The default alias cannot be removed, only given to another version.")
    removed = {alias[1:] for alias in wanted if alias.startswith("-")}
    version["versionAliases"] = [alias for alias in version["versionAliases"] if alias not in removed]
    added = [alias for alias in wanted if not alias.startswith("-")]
    _alias(state, version["name"], version["versionId"], added)
    return version


def patch_model(state: State, call: Call) -> dict[str, Any]:
    """models.patch: of a version where the name has one, else of the model; not of both at once.

    Labels of the model and of the version are merged when they are told; this server keeps those of versions alone.
    """
    has_version = "@" in call.name
    allowed = ("versionDescription", "labels") if has_version else ("displayName", "description")
    version, change = version_of(state, call.name), parsed(call.body, call.types.Model)
    for path in vertex_checks.update_mask(call.query, allowed):
        if path == "labels":
            vertex_checks.check_labels(change.get("labels", {}))
        for each in [version] if has_version else _versions(state, call.name):
            each[path] = change.get(path, {} if path == "labels" else "")
    version["versionUpdateTime"] = version["updateTime"] = now()
    return version


def import_evaluation(state: State, call: Call) -> dict[str, Any]:
    """models.evaluations.import, of a version."""
    version = version_of(state, call.name.removesuffix("/evaluations"))
    evaluation = parsed(call.body, call.types.ImportModelEvaluationRequest).get("modelEvaluation", {})
    vertex_checks.check_uri(evaluation.get("metricsSchemaUri", ""), "modelEvaluation.metricsSchemaUri")
    expect(evaluation.get("metrics"), "modelEvaluation.metrics is required.")
    name = f"{version['name']}@{version['versionId']}/evaluations/{state.new_id()}"
    return state.put(name, evaluation)


def list_evaluations(state: State, call: Call) -> dict[str, Any]:
    """models.evaluations.list, of a version."""
    version = version_of(state, call.name.removesuffix("/evaluations"))
    found = state.below(f"{version['name']}@{version['versionId']}/evaluations")
    return vertex_listing.page("modelEvaluations", found, call.query)


def delete_model(state: State, call: Call) -> dict[str, Any]:
    """models.delete, with all versions; not while one is deployed."""
    versions = _versions(state, call.name)
    for version in versions:
        _expect_not_deployed(version)
    for version in versions:
        del state.resources[f"{call.name}@{version['versionId']}"]
    return state.delete(call.parent, call.name)


def delete_version(state: State, call: Call) -> dict[str, Any]:
    """models.deleteVersion; not the default one, and not while it is deployed."""
    expect("@" in call.name, "The name needs a version: models/MODEL@VERSION.")
    version = version_of(state, call.name)
    if DEFAULT in version["versionAliases"]:
        raise RefusedError("The default version cannot be deleted.", "FAILED_PRECONDITION")
    _expect_not_deployed(version)
    return state.delete(call.parent, f"{version['name']}@{version['versionId']}")


def version_of(state: State, name: str) -> dict[str, Any]:
    """A model's version by NAME, NAME@VERSION or NAME@ALIAS."""
    name, _, wanted = name.partition("@")
    for version in _versions(state, name):
        if (wanted or DEFAULT) in (version["versionId"], *version["versionAliases"]):
            return version
    raise RefusedError(f"{name}@{wanted} is not found.", "NOT_FOUND")


def _versions(state: State, name: str) -> list[dict[str, Any]]:
    state.get(name)
    return [version for key, version in state.resources.items() if re.fullmatch(rf"{re.escape(name)}@\d+", key)]


def _alias(state: State, name: str, number: str, aliases: list[str]) -> None:
    """Gives aliases to a version, and so takes them from the others."""
    for version in _versions(state, name):
        version["versionAliases"] = [alias for alias in version["versionAliases"] if alias not in aliases]
    version = state.resources[f"{name}@{number}"]
    version["versionAliases"] = [*version["versionAliases"], *dict.fromkeys(aliases)]
    version["versionUpdateTime"] = version["updateTime"] = now()
    state.resources[name] = version_of(state, name)


def _expect_saved_model(state: State, uri: str) -> None:
    """Google's own containers of TensorFlow want the SavedModel itself."""
    folder = state.folder / uri.removeprefix("gs://")
    if not (folder / "saved_model.pb").is_file():
        message = f"Model directory {uri} is expected to contain exactly one of: [saved_model.pb, saved_model.pbtxt]."
        raise RefusedError(message, "FAILED_PRECONDITION")


def _expect_alias(alias: str) -> None:
    expect(ALIAS.fullmatch(alias), f"Version alias {alias!r} must match {ALIAS.pattern}.")


def _expect_not_deployed(version: dict[str, Any]) -> None:
    if version.get("deployedModels"):
        message = f"{version['name']}@{version['versionId']} is deployed; undeploy it first."
        raise RefusedError(message, "FAILED_PRECONDITION")


ROUTES: dict[tuple[str, str, str], Callable[[State, Call], Any]] = {
    ("POST", "models", "upload"): upload,
    ("GET", "models/*", ""): get_model,
    ("GET", "models/*", "listVersions"): list_versions,
    ("POST", "models/*", "mergeVersionAliases"): merge_aliases,
    ("PATCH", "models/*", ""): patch_model,
    ("POST", "models/*/evaluations", "import"): import_evaluation,
    ("GET", "models/*/evaluations", ""): list_evaluations,
    ("DELETE", "models/*", ""): delete_model,
    ("DELETE", "models/*", "deleteVersion"): delete_version,
}
KINDS = ("models",)
