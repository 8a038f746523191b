"""The components' containers on this machine: whose they are, how they are run, and how they are ended."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common.errors import InputError

if TYPE_CHECKING:
    from kfp.local import DockerRunner

LABEL = "metro-recs-run"  # of every container, with the name of the run's folder


def user_of(document: dict[str, Any]) -> int:
    """The user that the containers run as.

    Raises:
        InputError: no Docker, or an image that is not on this machine.
    """
    import docker

    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise InputError("Docker", str(error), "a daemon that answers", "Start it, or set DOCKER_HOST.") from None
    user = os.getuid()
    parts = document["deploymentSpec"]["executors"].values()
    for image in sorted({part["container"]["image"] for part in parts if "container" in part}):
        try:
            found = client.images.get(image)
        except docker.errors.ImageNotFound:
            remedy = "Run make images CPU=1."
            raise InputError(f"image {image}", "nothing on this machine", "the image", remedy) from None
        if not os.getuid():  # nothing runs as root: the images' own user writes the artifacts
            user = int(found.attrs["Config"]["User"].partition(":")[0])
    client.close()
    return user


def give(path: str | Path, user: int) -> None:
    """Lets the containers' user write into a folder or file of ours."""
    if user != os.getuid():
        os.chown(path, user, user)


def runner(user: int, readable: list[str], run: str) -> "DockerRunner":
    """kfp.local's, for containers without network.

    Args:
        user: See `user_of`.
        readable: The folders that they see besides the run's.
        run: The name of the run's folder.
    """
    import docker
    from kfp import local

    mounts = [docker.types.Mount(folder, folder, type="bind", read_only=True) for folder in readable]
    return local.DockerRunner(user=f"{user}:{user}", network_mode="none", mounts=mounts, labels={LABEL: run})


def end(run: str) -> None:
    """Ends the containers of a run."""
    import docker

    client = docker.from_env()
    for container in client.containers.list(filters={"label": f"{LABEL}={run}"}):
        container.kill()
    client.close()
