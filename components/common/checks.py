"""Addresses of buckets, images and accounts, names of projects and regions, checked before anything is sent."""

import json
import re
from collections.abc import Iterator
from typing import Any

from components.common.errors import InputError

BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
PROJECT = re.compile(r"([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")  # a domain's project has its domain first
REGION = re.compile(r"[a-z]+-[a-z]+\d+")
TABLE = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]\.[A-Za-z0-9_]{1,1024}\.[A-Za-z0-9_-]{1,1024}")  # of BigQuery
ACCOUNT = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
IMAGE = re.compile(
    r"(?P<host>[\w.-]+(:\d+)?)/(?P<path>[\w./-]+?)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def bucket(flag: str, uri: str) -> str:
    """The bucket of a gs:// address.

    Raises:
        InputError: no gs:// address, or one without a bucket.
    """
    name, _, path = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not BUCKET.fullmatch(name) or path.startswith("/"):
        raise InputError(flag, repr(uri), "gs://BUCKET/PATH", "Name a bucket and a path in it.")
    return name


def project(flag: str, name: str, remedy: str = "Correct the name.") -> str:
    """The project's id.

    Raises:
        InputError: none that Google Cloud would give.
    """
    if not PROJECT.fullmatch(name):
        raise InputError(flag, repr(name), "a project's id such as my-project", remedy)
    return name


def region(flag: str, name: str, remedy: str = "Correct the name.") -> str:
    """The region's name.

    Raises:
        InputError: none that Google Cloud would give.
    """
    if not REGION.fullmatch(name):
        raise InputError(flag, repr(name), "a region such as europe-west3", remedy)
    return name


def account(flag: str, address: str) -> str:
    """The address of a service account, or "" where none is named.

    Raises:
        InputError: no address.
    """
    if address and not ACCOUNT.fullmatch(address):
        expected = "an address such as recs@my-project.iam.gserviceaccount.com"
        raise InputError(flag, address, expected, "Correct the address.")
    return address


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
    for part in (spec["deploymentSpec"]["executors"], spec["components"]):
        for where, body in part.items():
            for name in _images_in(body):
                image(where, name)
                found.add(name)
    return sorted(found)


def _images_in(value: Any) -> Iterator[str]:
    """Of containers, and of the worker pools of custom jobs, which are parameters, maybe as JSON inside of a string."""
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
        except (ValueError, RecursionError):  # a template such as {{$}}
            return
        yield from _images_in(inside)
