"""All that the Exporter sends to Vertex AI after it has made a release, in the order that keeps customers safe."""

from typing import Any

from components.common.errors import InputError
from components.common.google import Where
from components.exporter.vertex import endpoint, registry, release, vector_search, versions
from components.exporter.vertex.endpoint import MACHINE, Deployment
from components.exporter.vertex.journal import Journal
from components.exporter.vertex.registry import Registration
from components.exporter.vertex.vector_search import Search


def publish(
    document: dict[str, Any],
    *,
    folder: str,
    project: str = "",
    region: str = "",
    model_name: str = "",
    serving_image: str = "",
    endpoint_name: str = "",
    traffic: int = 100,
    serving_machine: str = MACHINE,
    serving_account: str = "",
    index_name: str = "",
    index_endpoint_name: str = "",
    staging: str = "",
) -> dict[str, Any]:
    """Registers the release, fills the index, deploys the version, each where it is named, and makes it champion last.

    Args:
        document: The release's release.json. After the gate's no, nothing is sent.
        folder: The release, local or gs://.
        project, region: Whose Vertex AI, and where.
        model_name: The model's id in the registry; "" registers nothing.
        serving_image: The container that serves it.
        endpoint_name: Display name of the endpoint; "" deploys nowhere.
        traffic: Percent of the endpoint's requests that the new version gets.
        serving_machine: Machine type of a replica.
        serving_account: Service account of the containers.
        index_name: Display name of the Vector Search index; "" fills none.
        index_endpoint_name: Display name of the index endpoint; "" deploys the index nowhere.
        staging: gs://BUCKET/PATH to copy a local release to.

    Returns:
        What the release's artifact should say: names of what was made; empty where nothing was.

    Raises:
        InputError: for what the user can put right; everything is checked before anything is sent.
    """
    if not (model_name or endpoint_name or index_name or index_endpoint_name):
        return {}
    if document["verdict"]["promote"] is not True:
        print(f"Nothing is registered, deployed or indexed. The gate said no: {release.refusal(document['verdict'])}.")
        return {}
    _expect_beside("endpoint_name", endpoint_name, "model_name", model_name)
    _expect_beside("index_endpoint_name", index_endpoint_name, "index_name", index_name)
    registration = Registration(model_name=model_name, serving_image=serving_image, staging=staging)
    search = Search(index_name=index_name, index_endpoint_name=index_endpoint_name, staging=staging)
    deployment = Deployment(
        endpoint_name=endpoint_name, traffic=traffic, serving_machine=serving_machine, serving_account=serving_account
    )
    for settings, wanted in ((registration, model_name), (search, index_name), (deployment, endpoint_name)):
        if wanted:
            settings.check()
    where, made = Where(project=project, region=region), release.read(folder)
    if index_name:
        vector_search.index_metadata(made)
    facts: dict[str, Any] = {}
    if model_name:
        version = registry.register(where, made, registration)
        facts["registered_model"] = versions.versioned(version)
        if said := registry.objection(where, version):
            print(f"{model_name}: {said}. Endpoint and index are left alone.")
            return facts
    if index_name:
        facts["index"] = vector_search.publish(where, made, search).name
    if endpoint_name:
        facts["endpoint"] = endpoint.deploy(where, version, deployment).name
        Journal(folder, where.parent).note(endpoint=facts["endpoint"])
    if model_name:
        registry.promote(where, version)
    return facts


def _expect_beside(field: str, value: str, other_field: str, other: str) -> None:
    if value and not other:
        raise InputError(other_field, "nothing", f"a name, because {field} is {value}", f"Set {other_field}.")
