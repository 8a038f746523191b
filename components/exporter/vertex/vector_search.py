"""Vector Search: the release's candidate embeddings as an index, replaced as a whole, behind an index endpoint."""

import re
from dataclasses import dataclass
from typing import Any

from components.common import storage
from components.common.errors import InputError
from components.common.google import SECONDS, Where, sentences
from components.exporter.vertex import calls
from components.exporter.vertex.journal import Journal
from components.exporter.vertex.release import EMBEDDINGS, EXPORT_AGAIN, INDEX, Release, in_bucket

RELEASE = "release"  # the label that says whose embeddings an index holds, written once it holds them
BETWEEN = "being-replaced"  # its value until then


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which index holds the embeddings, and where it is asked.

    Args:
        index_name: The index's display name; it is created if there is none.
        index_endpoint_name: The index endpoint's display name; if there is none, one with a public address is created.
            "" deploys nowhere.
        staging: gs://BUCKET/PATH, in the region of the index, to copy a local release to.
    """

    index_name: str
    index_endpoint_name: str = ""
    staging: str = ""

    def check(self) -> None:
        """Raises InputError at a name that Vertex AI would refuse."""
        calls.expect_display_name("--index-name", self.index_name)
        if self.index_endpoint_name:
            calls.expect_display_name("--index-endpoint-name", self.index_endpoint_name)


def publish(where: Where, release: Release, search: Search) -> Any:
    """Fills the index with the release's embeddings, and deploys it.

    An index that holds this release already, or is deployed already, is left alone. Until the new content is whole,
    the old one answers.

    Returns:
        The index, a google.cloud.aiplatform_v1.Index.

    Raises:
        InputError: for what the user can put right, such as embeddings of another width than the index has.
    """
    from google.cloud.aiplatform_v1 import IndexServiceClient

    search.check()
    metadata = index_metadata(release)
    stored = in_bucket(release, search.staging)
    client = where.client(IndexServiceClient)
    with sentences(where, f"filling the index {search.index_name}", calls.SHOWN_BY):
        index = calls.again(lambda: _filled(where, client, stored, search.index_name, metadata), "filling the index")
        if search.index_endpoint_name:
            _deployed(where, index, search.index_endpoint_name)
    Journal(release.folder, where.parent).note(index=index.name)
    print(where.console(f"locations/{where.location}/indexes/{calls.identifier(index.name)}/deployments"))
    return index


def index_metadata(release: Release) -> dict[str, Any]:
    """The index's configuration, as the Exporter wrote it.

    Raises:
        InputError: it is not there, or for vectors of another width.
    """
    path, field = release.path(INDEX), "config.dimensions"
    metadata = storage.read_json(path, "the configuration of the index, of the Exporter")
    config = metadata.get("config")
    found = config.get("dimensions") if isinstance(config, dict) else None
    wanted = release.document["embeddings"]["dimensions"]
    if not found or found != wanted:
        raise InputError(f"{path}, field {field}", repr(found), f"{wanted}, the width of the embeddings", EXPORT_AGAIN)
    return metadata


def find(where: Where, client: Any, display_name: str) -> Any | None:
    """The index of a display name, or None."""
    return calls.named("--index-name", display_name, client.list_indexes(parent=where.parent, timeout=SECONDS))


def _filled(where: Where, client: Any, release: Release, display_name: str, metadata: dict[str, Any]) -> Any:
    """Creates or overwrites the index, then labels it with what it holds."""
    from google.cloud.aiplatform_v1 import Index

    source = {"contentsDeltaUri": release.path(EMBEDDINGS)}
    index = find(where, client, display_name)
    if index is None:
        made = Index(
            display_name=display_name,
            description="Candidate embeddings of a two-tower model; scores are dot products with query embeddings.",
            metadata={**metadata, **source},
            index_update_method=Index.IndexUpdateMethod.BATCH_UPDATE,
        )
        operation = client.create_index(parent=where.parent, index=made, timeout=SECONDS)
        index = calls.done(operation, f"Creating the index {display_name}")
        print(f"created the index {display_name} of {release.document['embeddings']['products']:,} products")
    elif index.labels.get(RELEASE) == release.digest:
        print(f"the index {display_name} holds this release already")
        return index
    else:
        _expect_width(index, display_name, int(metadata["config"]["dimensions"]))
        index = _label(client, index, {**index.labels, RELEASE: BETWEEN})
        changed = Index(name=index.name, metadata={**source, "isCompleteOverwrite": True})
        operation = client.update_index(index=changed, update_mask={"paths": ["metadata"]}, timeout=SECONDS)
        calls.done(operation, f"Replacing the content of {display_name}")
        print(f"the index {display_name} holds {release.document['embeddings']['products']:,} products")
    return _label(client, index, {**index.labels, **release.labels})


def _label(client: Any, index: Any, labels: dict[str, str]) -> Any:
    """Says what the index holds; while its content is being replaced, that it is."""
    from google.cloud.aiplatform_v1 import Index

    labelled = Index(name=index.name, labels=labels)
    operation = client.update_index(index=labelled, update_mask={"paths": ["labels"]}, timeout=SECONDS)
    return calls.done(operation, f"Labelling {index.display_name}")


def _expect_width(index: Any, display_name: str, dimensions: int) -> None:
    """An index keeps the width that it was created with."""
    from google.protobuf import json_format

    metadata = json_format.MessageToDict(type(index).pb(index)).get("metadata", {})
    found = int(metadata.get("config", {}).get("dimensions", 0))
    if found != dimensions:
        expected = f"{dimensions}, the width of the release's embeddings"
        remedy = "An index keeps its width: name another --index-name, and an --index-endpoint-name to deploy it to."
        raise InputError(f"index {display_name}, dimensions", str(found), expected, remedy)


def _deployed(where: Where, index: Any, display_name: str) -> None:
    """Deploys the index to the endpoint of that name, unless it is."""
    from google.cloud.aiplatform_v1 import DeployedIndex, IndexEndpoint, IndexEndpointServiceClient

    client = where.client(IndexEndpointServiceClient)

    def found_or_created() -> Any:
        listed = client.list_index_endpoints(parent=where.parent, timeout=SECONDS)
        found = calls.named("--index-endpoint-name", display_name, listed)
        if found is None:
            made = IndexEndpoint(display_name=display_name, public_endpoint_enabled=True)
            operation = client.create_index_endpoint(parent=where.parent, index_endpoint=made, timeout=SECONDS)
            found = calls.done(operation, f"Creating the index endpoint {display_name}")
        return found

    def attempt() -> None:
        endpoint = calls.again(found_or_created, "creating the index endpoint")
        number = calls.identifier(index.name)
        there = [each.id for each in endpoint.deployed_indexes if calls.identifier(each.index) == number]
        if there:
            print(f"{display_name}: the index is deployed as {there[0]}")
            return
        made = DeployedIndex(id=deployed_id(index), index=index.name, display_name=index.display_name)
        operation = client.deploy_index(index_endpoint=endpoint.name, deployed_index=made, timeout=SECONDS)
        calls.done(operation, f"Deploying the index to {display_name}")
        print(f"{display_name}: deployed the index as {made.id}")

    calls.again(attempt, "deploying the index")


def deployed_id(index: Any) -> str:
    """What searches name the deployed index by: letters, digits and _, once in a project."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", index.display_name).strip("_")
    return f"index_{words}"[:100] + f"_{calls.identifier(index.name)}"
