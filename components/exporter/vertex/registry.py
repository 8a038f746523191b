"""The Model Registry: a release as a new version of a model, its evaluation, and at last the alias `champion`."""

from dataclasses import dataclass
from typing import Any

from components.common import checks
from components.common.errors import InputError
from components.common.google import SECONDS, Where, sentences
from components.exporter.vertex import calls, evaluation, versions
from components.exporter.vertex.journal import Journal
from components.exporter.vertex.release import SAVED_MODEL, Release, in_bucket

PREBUILT = "/vertex-ai/prediction/"  # in the names of Google's own containers, which have routes of their own
PREDICT, HEALTH, PORT = "/predict", "/health", 8080


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What a release is registered as.

    Args:
        model_name: The model's id and display name in the registry.
        serving_image: The container that serves it, with its registry: metro-recs/serving, or one of Vertex AI's
            prebuilt TensorFlow containers.
        staging: gs://BUCKET/PATH to copy a local release to.
    """

    model_name: str
    serving_image: str
    staging: str = ""

    def check(self) -> None:
        """Raises InputError at a name that Vertex AI would refuse, or an image without a registry."""
        versions.expect_model_name(self.model_name)
        checks.image("--serving-image", self.serving_image)


def register(where: Where, release: Release, registration: Registration) -> Any:
    """Makes the release a version of the model, with its evaluation, and without the alias: `promote` gives that.

    Running it again does what is missing: the version is found by the label `release`, the evaluation by its name.

    Returns:
        The version, a google.cloud.aiplatform_v1.Model.

    Raises:
        InputError: for what the user can put right.
    """
    from google.cloud.aiplatform_v1 import ModelServiceClient

    registration.check()
    journal = Journal(release.folder, where.parent)
    stored = in_bucket(release, registration.staging)
    client, name = where.client(ModelServiceClient), versions.name_of(where, registration.model_name)
    with sentences(where, f"registering {registration.model_name}", calls.SHOWN_BY):
        version = _version(client, name, stored, registration, journal)
        journal.note(model=versions.versioned(version), upload=None)
        evaluation.report(client, version, stored)
    return version


def objection(where: Where, version: Any) -> str:
    """Why a registered version must not become champion, as a sentence; "" where nothing speaks against it."""
    from google.cloud.aiplatform_v1 import ModelServiceClient

    client, name = where.client(ModelServiceClient), versions.name_of(where, calls.identifier(version.name))
    with sentences(where, f"looking for the champion beside version {version.version_id}", calls.SHOWN_BY):
        return versions.objection(versions.of(client, name), version)


def promote(where: Where, version: Any) -> None:
    """Makes a registered version the champion, unless it was that before and another one has followed.

    Raises:
        InputError: for what the user can put right.
    """
    from google.cloud.aiplatform_v1 import ModelServiceClient

    client, name = where.client(ModelServiceClient), versions.name_of(where, calls.identifier(version.name))
    with sentences(where, f"promoting version {version.version_id}", calls.SHOWN_BY):
        said = versions.promote(client, name, version.version_id)
    print(f"{version.display_name}: {said}\n{versions.page_of(where, version)}")


def _version(client: Any, name: str, release: Release, registration: Registration, journal: Journal) -> Any:
    """The version that holds the release: one that is there, one that is being made, or a new one."""
    from google.api_core import exceptions as api
    from google.cloud import aiplatform_v1 as vertex

    found = find(client, name, release)
    if not found and "upload" in journal.facts:
        kinds = vertex.UploadModelResponse, vertex.UploadModelOperationMetadata
        try:
            begun = calls.resumed(client, journal.facts["upload"], *kinds)
            calls.done(begun, "Waiting for the upload that was begun")
        except api.GoogleAPICallError as error:
            if not isinstance(error, api.NotFound) and not begun.done():  # nobody knows yet what becomes of it
                raise
            print(f"the upload that was begun came to nothing ({error}): uploading again")

    def attempt() -> Any:
        there = find(client, name, release)
        if there is None:
            existing = versions.of(client, name)
            operation = client.upload_model(
                request=_request(name, release, registration, bool(existing)), timeout=SECONDS
            )
            journal.note(upload=operation.operation.name)
            calls.done(operation, f"Uploading {release.folder}")
            there = find(client, name, release)
            if there is None:  # the operation said that it is done
                raise api.ServiceUnavailable("the version that was uploaded is not listed yet")
            print(f"uploaded version {there.version_id} of {registration.model_name}")
        else:
            _expect_image(there, registration)
            print(f"version {there.version_id} of {registration.model_name} holds this release already")
        return there

    return calls.again(attempt, "uploading the model")


def find(client: Any, name: str, release: Release) -> Any | None:
    """The version that was made of a release, or None."""
    wanted = release.labels.items()
    return next((each for each in versions.of(client, name) if wanted <= dict(each.labels).items()), None)


def _expect_image(version: Any, registration: Registration) -> None:
    """A version keeps its container: a release that is there already would be served by the old one."""
    found = version.container_spec.image_uri
    if found != registration.serving_image:
        where = f"{registration.model_name}, version {version.version_id}, which holds this release: its serving image"
        remedy = f"Name that image, or delete version {version.version_id}, unless it is champion, and register again."
        raise InputError(where, found, registration.serving_image, remedy)


def _request(name: str, release: Release, registration: Registration, is_known: bool) -> Any:
    from google.cloud import aiplatform_v1 as vertex

    parent, _, model_id = name.rpartition("/models/")
    container: dict[str, Any] = {"image_uri": registration.serving_image}
    is_prebuilt = PREBUILT in registration.serving_image
    if not is_prebuilt:
        container |= {"predict_route": PREDICT, "health_route": HEALTH, "ports": [{"container_port": PORT}]}
    model = vertex.Model(
        display_name=registration.model_name,
        description="Two-tower retrieval: a customer's features in, the products to recommend out.",
        version_description=evaluation.described(release),
        labels=release.labels,
        # Ours reads release.json too, for the version; Google's own want the SavedModel itself.
        artifact_uri=release.path(SAVED_MODEL) if is_prebuilt else release.folder,
        container_spec=vertex.ModelContainerSpec(container),
    )
    known = {"parent_model": name} if is_known else {"model_id": model_id}
    return vertex.UploadModelRequest(parent=parent, model=model, **known)
