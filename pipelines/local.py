"""Runs a compiled pipeline on this machine through kfp.local, each component a process or a container of its own."""

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common.errors import InputError

if TYPE_CHECKING:
    from kfp.local import DockerRunner

ROOT = Path(__file__).resolve().parent.parent


def run(
    spec: str, root: str, parameters: dict[str, Any], docker: bool = False, readable: tuple[str, ...] = ()
) -> dict[str, str]:
    """Runs the pipeline and returns where its artifacts are.

    Args:
        spec: The compiled pipeline, as compile.py writes it.
        root: Folder for the artifacts; every run gets a folder of its own in it.
        parameters: The pipeline's parameters.
        docker: Run each component in its image, without network, instead of as a process.
        readable: Folders outside `root` that the parameters name; containers see nothing else.

    Returns:
        {"component.artifact": path}, for example {"exporter.release": …}.

    Raises:
        InputError: no Docker, or an image that is not on this machine.
        RuntimeError: a component failed; its own message is in the log above.
    """
    from kfp import components, local

    document = json.loads(Path(spec).read_text(encoding="utf-8"))
    os.makedirs(root, exist_ok=True)
    if docker:
        runner = _containers(document, root, readable)
    else:
        warnings.filterwarnings("ignore", message="You may be attemping to run", category=RuntimeWarning)  # on purpose
        # The components' processes import our code from the repository root, as they do from the images' workdir.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=root, raise_on_error=True)
    before = set(Path(root).glob("*"))
    components.load_component_from_file(spec)(**parameters)
    (folder,) = set(Path(root).glob("*")) - before
    executors = document["deploymentSpec"]["executors"]
    for name, task in document["root"]["dag"]["tasks"].items():
        executor = executors[document["components"][task["componentRef"]["name"]]["executorLabel"]]
        # kfp takes a container that is gone before it was asked for a success; a component writes this when it is done.
        if "container" in executor and not (folder / name / "executor_output.json").exists():
            raise RuntimeError(f"{name} ended without its outputs.")
    return {f"{path.parent.name}.{path.name}": str(path) for path in sorted(folder.glob("*/*"))}


def _containers(document: dict[str, Any], root: str, readable: tuple[str, ...]) -> "DockerRunner":
    import docker
    from kfp import local

    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise InputError("Docker", str(error), "a daemon that answers", "Start it, or set DOCKER_HOST.") from None
    user = os.getuid()
    for image in sorted({part["container"]["image"] for part in document["deploymentSpec"]["executors"].values()}):
        try:
            found = client.images.get(image)
        except docker.errors.ImageNotFound:
            remedy = "Run make images CPU=1."
            raise InputError(f"image {image}", "nothing on this machine", "the image", remedy) from None
        if not os.getuid():  # nothing runs as root: the images' own user writes the artifacts
            user = int(found.attrs["Config"]["User"].partition(":")[0])
    client.close()
    if user != os.getuid():
        os.chown(root, user, user)
    mounts = [docker.types.Mount(folder, folder, type="bind", read_only=True) for folder in sorted(set(readable))]
    return local.DockerRunner(user=f"{user}:{user}", network_mode="none", mounts=mounts)
