"""Whether a registry has an image, by the registry's own API."""

import urllib.parse
from collections.abc import Iterator
from typing import Any

from components.common import checks
from pipelines.findings import SECONDS, Finding

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


def image(session: Any, name: str, is_cached: bool) -> Iterator[Finding]:
    """Looks for one image (https://github.com/opencontainers/distribution-spec, "Checking if content exists").

    Args:
        session: With Google's token, which other registries do not get to see.
        name: Of the image, with its registry.
        is_cached: Whether Vertex AI may answer for a step from a run with an image of the same name.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession

    matched = checks.image("image", name)
    host, reference = matched["host"], matched["digest"] or matched["tag"] or "latest"
    if reference == "latest" and is_cached:
        text = f"The image {name} is whatever was pushed last, but steps that the cache answers come from older ones."
        yield Finding("careful", text, "python compile.py --tag $(git rev-parse --short HEAD) …")
    scheme = "http" if urllib.parse.urlsplit(f"//{host}").hostname in ("localhost", "127.0.0.1") else "https"
    if not is_googles(host):
        session = AuthorizedSession(AnonymousCredentials())
    url = f"{scheme}://{host}/v2/{matched['path']}/manifests/{reference}"
    status = session.head(url, headers={"Accept": MANIFESTS}, timeout=SECONDS).status_code
    if status == 404:
        yield Finding("missing", f"The image {name} does not exist.", _how_to_make(matched))
    elif status == 200:
        yield Finding("fine", f"The image {name} is there.")
    else:
        yield Finding("not checked", f"The image {name}: the registry answered with {status}.")


def is_googles(host: str) -> bool:
    """Whether a registry is Google's: nobody else may see Google's token."""
    return host == "gcr.io" or host.endswith((".gcr.io", ".pkg.dev"))


def _how_to_make(image: Any) -> str:
    """The command that makes and pushes an image of ours; for somebody else's, what else there is to do."""
    registry, ours, _ = f"{image['host']}/{image['path']}".partition("/metro-recs/")
    if not ours or image["digest"]:
        return "push it, or name another"
    given = f"IMAGE_REGISTRY={registry} TAG={image['tag'] or 'latest'}"
    return f"make images {given} && make push {given}"
