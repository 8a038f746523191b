"""The way back: the champion before this one gets the traffic, the index and the alias again."""

from typing import Any

from components.common import storage
from components.common.errors import InputError
from components.common.google import SECONDS, Where, sentences
from components.common.release import FILE as RELEASE
from components.exporter.vertex import calls, endpoint, vector_search, versions
from components.exporter.vertex import release as releases
from components.exporter.vertex.vector_search import Search


def roll_back(where: Where, model_name: str, endpoint_name: str, search: Search | None, to: str) -> Any:
    """Puts the previous champion back: first the traffic, then the index, at last the alias.

    So if it is ended halfway, running it again goes on to the same version, not one further back.

    Args:
        where: Whose Vertex AI.
        model_name: The model's id in the registry.
        endpoint_name: Display name of the endpoint whose traffic goes to it; "" leaves endpoints alone.
        search: Where its embeddings go; None leaves indexes alone.
        to: A version's number; "" is the champion before this one.

    Returns:
        The version that is champion now.

    Raises:
        InputError: there is no champion, or none before it, or it is not there any more.
    """
    from google.cloud.aiplatform_v1 import ModelServiceClient

    versions.expect_model_name(model_name)
    client, name = where.client(ModelServiceClient), versions.name_of(where, model_name)
    with sentences(where, f"rolling back {model_name}", calls.SHOWN_BY):
        known = versions.of(client, name)
        champion = versions.champion_of(known)
        target = _target(name, known, champion, to)
        if champion and not endpoint_name:
            _expect_unserved(where, champion)
        if endpoint_name:
            _redirect(where, endpoint_name, champion, target)
        if search:
            vector_search.publish(where, _release_of(target), search)
        _mark(client, name, champion, target)
        versions.crown(client, name, target.version_id)
    replaced = f" in place of version {champion.version_id}" if champion else ""
    print(f"{model_name}: version {target.version_id} is champion{replaced}\n{versions.page_of(where, target)}")
    return target


def _mark(client: Any, name: str, champion: Any | None, target: Any) -> None:
    """Says in the labels which version was taken back, and that the target is not one any more."""
    if champion and champion.version_id != target.version_id:
        versions.relabel(client, champion, {versions.ROLLED_BACK: "true"})
    now = champion.version_id if champion and champion.version_id != target.version_id else versions.NONE
    changes = {versions.BEFORE: target.labels.get(versions.BEFORE, now), versions.ROLLED_BACK: None}
    versions.relabel(client, target, changes)


def _target(name: str, known: list[Any], champion: Any | None, to: str) -> Any:
    if to:
        return versions.expected(known, name, to)
    if champion is None:
        remedy = "Name a version: --to NUMBER."
        raise InputError(f"{name}, alias {versions.CHAMPION}", "on no version", "on one that was promoted", remedy)
    before = champion.labels.get(versions.BEFORE, versions.NONE)
    found = versions.numbered(known, before)
    if found is None:
        where = f"{name}, label {versions.BEFORE} of version {champion.version_id}"
        remedy = "There is no way back by itself: name a version that is there, --to NUMBER."
        raise InputError(where, before, "the number of a version that is there", remedy)
    return found


def _expect_unserved(where: Where, champion: Any) -> None:
    """Raises InputError where an endpoint's traffic would stay with the champion that is taken back."""
    from google.cloud.aiplatform_v1 import EndpointServiceClient

    listed = where.client(EndpointServiceClient).list_endpoints(parent=where.parent, timeout=SECONDS)
    found = ((each, endpoint.deployed(each, champion)) for each in listed)
    serving = sorted(each.display_name for each, there in found if there and each.traffic_split.get(there.id, 0))
    if serving:
        said = f"nothing, but {', '.join(serving)} serves version {champion.version_id}"
        remedy = f"Add --endpoint-name {serving[0]}, or its traffic would stay there."
        raise InputError("--endpoint-name", said, "the endpoint whose traffic goes back", remedy)


def _redirect(where: Where, endpoint_name: str, champion: Any | None, target: Any) -> None:
    """Gives the target all traffic; where it is not deployed any more, it is, on what the champion runs on."""
    from google.cloud.aiplatform_v1 import EndpointServiceClient

    calls.expect_display_name("--endpoint-name", endpoint_name)
    client = where.client(EndpointServiceClient)
    found = endpoint.find(where, client, endpoint_name)
    if found is None:
        listed = client.list_endpoints(parent=where.parent, timeout=SECONDS)
        known = ", ".join(sorted(each.display_name for each in listed)) or "none"
        raise InputError("--endpoint-name", endpoint_name, f"one that is there: {known}", "Correct the name.")
    running = endpoint.deployed(found, champion) if champion else None
    resources = running.dedicated_resources if running else endpoint.Deployment(endpoint_name=endpoint_name).resources
    account = running.service_account if running else ""
    endpoint.give(client, found.name, target, 100, resources, account)
    page = where.console(f"online-prediction/locations/{where.location}/endpoints/{calls.identifier(found.name)}")
    print(f"{endpoint_name}: version {target.version_id} 100%\n{page}")


def _release_of(version: Any) -> releases.Release:
    """The release that a version was made of, where its artifact lies.

    Raises:
        InputError: it is gone, or another one lies there now.
    """
    folder = version.artifact_uri.rstrip("/").removesuffix(f"/{releases.SAVED_MODEL}")
    remedy = "Fill the index by hand: python -m components.exporter.vertex index --release gs://…"
    if not storage.exists(storage.join(folder, RELEASE)):
        raise InputError(f"version {version.version_id}", f"no release in {folder}", "the one it was made of", remedy)
    release = releases.read(folder)
    if release.digest != version.labels.get("release"):
        found = f"another release in {folder}"
        raise InputError(f"version {version.version_id}", found, "the one it was made of", remedy)
    return release
