"""What Vertex AI would refuse, or take and then fail on, said before anything is sent."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from components.common.errors import InputError
from pipelines.parameters import pairs_of

LABELS, LABEL_LENGTH = 64, 63
# Of Vertex AI Pipelines' own, and of all of Google Cloud.
RESERVED = ("vertex-ai-pipelines-run-billing-id", "goog-")
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
ACCOUNT = re.compile(r"[^@\s]+@[^@\s]+\.gserviceaccount\.com")
NETWORK = re.compile(r"projects/[^/]+/global/networks/[^/]+")
IMAGE = re.compile(
    r"(?P<host>[\w.-]+(:\d+)?)/(?P<path>[\w./-]+?)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def labels(pairs: Sequence[str]) -> dict[str, str]:
    """{name: value} of --labels, by Google Cloud's rules for labels.

    Lowercase letters of any script, digits, _ and -; names begin with a letter.
    """
    found = pairs_of("--labels", pairs)
    if len(found) > LABELS:
        raise InputError("--labels", f"{len(found)} labels", f"{LABELS} at most", "Remove some.")
    for name, value in found.items():
        if not name[0].isalpha() or not (_plain(name) and _plain(value)):
            expected = (
                f"lowercase letters, digits, _ and -, a letter first in the name, {LABEL_LENGTH} characters at most"
            )
            raise InputError("--labels", f"{name}={value}", expected, "Correct the label.")
        if name.startswith(RESERVED):
            raise InputError("--labels", name, "a name that Google Cloud has not reserved", "Rename the label.")
    return found


def _plain(text: str) -> bool:
    return len(text) <= LABEL_LENGTH and all(c in "_-" or (c.isalnum() and c == c.lower()) for c in text)


def bucket(flag: str, uri: str) -> str:
    """The bucket of a gs:// address.

    Raises:
        InputError: no gs:// address, or one without a bucket.
    """
    name, slash, path = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not BUCKET.fullmatch(name) or (slash and path.startswith("/")):
        raise InputError(flag, repr(uri), "gs://BUCKET/FOLDER", "Name a bucket that the run may write to.")
    return name


def account(email: str) -> None:
    """Refuses what is no service account's address; "" leaves the choice to the project."""
    if email and not ACCOUNT.fullmatch(email):
        expected = "an address such as trainer@my-project.iam.gserviceaccount.com"
        raise InputError("--service-account", email, expected, "List them: gcloud iam service-accounts list")


def network(name: str) -> None:
    """Refuses what is no network's full name; "" peers with none."""
    if name and not NETWORK.fullmatch(name):
        expected = "projects/PROJECT_NUMBER/global/networks/NETWORK"
        raise InputError("--network", name, expected, "Write the full name.")


def image(where: str, name: str) -> re.Match[str]:
    """An image's registry, path, and tag or digest.

    Raises:
        InputError: an image without a registry: Vertex AI would ask Docker Hub for it.
    """
    matched = IMAGE.fullmatch(name)
    if not matched or not (set(".:") & set(matched["host"]) or matched["host"] == "localhost"):
        expected = "one with its registry, such as europe-west3-docker.pkg.dev/my-project/metro-recs/trainer:v1"
        raise InputError(where, f"the image {name}", expected, "Compile with --registry, after make push.")
    return matched


def images(spec: dict[str, Any]) -> list[str]:
    """The images of a compiled pipeline, each once, sorted; refused if one has no registry."""
    found = set()
    for executor, body in spec["deploymentSpec"]["executors"].items():
        for name in _images_in(body):
            image(executor, name)
            found.add(name)
    return sorted(found)


def _images_in(value: Any) -> Iterator[str]:
    """Of containers, and of the custom jobs whose specs are JSON inside of arguments or parameters."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("image", "image_uri", "imageUri") and isinstance(item, str):
                yield item
            else:
                yield from _images_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _images_in(item)
    elif isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            inside = json.loads(value)
        except ValueError:  # a template such as {{$}}
            return
        yield from _images_in(inside)
