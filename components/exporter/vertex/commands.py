"""The steps of a release on Vertex AI as commands, each usable by itself."""

from collections.abc import Callable
from typing import Any

from components.common.errors import InputError
from components.common.google import Where, sentences
from components.exporter.vertex import batch as batches
from components.exporter.vertex import calls, registry, vector_search, versions
from components.exporter.vertex import endpoint as endpoints
from components.exporter.vertex import release as releases
from components.exporter.vertex.endpoint import Deployment
from components.exporter.vertex.journal import Journal
from components.exporter.vertex.registry import Registration
from components.exporter.vertex.rollback import roll_back
from components.exporter.vertex.vector_search import Search

ABOUT = """Takes a release of the Exporter to Vertex AI, and back.

  export GOOGLE_CLOUD_PROJECT=my-project GOOGLE_CLOUD_REGION=europe-west3 RELEASE=gs://my-bucket/…/release;
  python -m components.exporter.vertex register --release $RELEASE --model-name recs --serving-image … --no-champion;
  python -m components.exporter.vertex deploy --release $RELEASE --model-name recs --endpoint-name recs --traffic 10;
  python -m components.exporter.vertex promote --release $RELEASE --model-name recs;
  python -m components.exporter.vertex rollback --model-name recs --endpoint-name recs

COMMAND --help explains a command. Run again, each goes on where it was ended. Exit codes: 0 done, 2 bad input."""


def register(where: Where, registration: Registration, *, release: str, champion: bool = True) -> None:
    """Uploads a release as a new version of a model, with its evaluation, and makes it champion.

    Args:
        where: Whose Vertex AI.
        registration: As what.
        release: release/ of the Exporter, local or gs://.
        champion: Make it champion at once; --no-champion leaves that to promote, once it is deployed and indexed.
    """
    version = registry.register(where, releases.read(release), registration)
    if champion:
        registry.promote(where, version)


def deploy(where: Where, deployment: Deployment, *, release: str, model_name: str) -> None:
    """Serves the version that was registered of a release at an endpoint, with a share of its traffic.

    Args:
        where: Whose Vertex AI.
        deployment: Where and how.
        release: release/ of the Exporter, local or gs://.
        model_name: The model's id in the registry.
    """
    deployment.check()
    read = releases.read(release)
    made = endpoints.deploy(where, _registered(where, model_name, read), deployment)
    Journal(read.folder, where.parent).note(endpoint=made.name)


def promote(where: Where, *, release: str, model_name: str) -> None:
    """Makes the version that was registered of a release the champion, unless it was rolled back or followed.

    Args:
        where: Whose Vertex AI.
        release: release/ of the Exporter, local or gs://.
        model_name: The model's id in the registry.
    """
    registry.promote(where, _registered(where, model_name, releases.read(release)))


def index(where: Where, search: Search, *, release: str) -> None:
    """Fills a Vector Search index with a release's embeddings, and deploys it.

    Args:
        where: Whose Vertex AI.
        search: Which index, and where it is asked.
        release: release/ of the Exporter, local or gs://.
    """
    vector_search.publish(where, releases.read(release), search)


def rollback(where: Where, *, model_name: str, endpoint_name: str = "", index_name: str = "", to: str = "") -> None:
    """Puts the previous champion back: alias, all traffic of the endpoint, and the content of the index.

    Args:
        where: Whose Vertex AI.
        model_name: The model's id in the registry.
        endpoint_name: The endpoint whose traffic goes to it; it is deployed there if it is not any more.
        index_name: The index that gets its embeddings again.
        to: Number of another version to go to, forward too.
    """
    search = Search(index_name=index_name) if index_name else None
    roll_back(where, model_name, endpoint_name, search, to)


def _registered(where: Where, model_name: str, release: releases.Release) -> Any:
    """The version that was registered of a release.

    Raises:
        InputError: there is none.
    """
    from google.cloud.aiplatform_v1 import ModelServiceClient

    versions.expect_model_name(model_name)
    with sentences(where, f"looking for {model_name}", calls.SHOWN_BY):
        version = registry.find(where.client(ModelServiceClient), versions.name_of(where, model_name), release)
    if version is None:
        remedy = "Register it first: python -m components.exporter.vertex register."
        raise InputError(f"model {model_name}", f"no version of {release.folder}", "one", remedy)
    return version


COMMANDS: dict[str, Callable[..., Any]] = {
    "register": register,
    "deploy": deploy,
    "index": index,
    "promote": promote,
    "batch": batches.batch,
    "rollback": rollback,
}
