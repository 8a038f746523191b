"""Runs a compiled pipeline on this machine, each component a process of its own, through kfp.local."""

import os
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def run(spec: str, root: str, parameters: dict[str, Any]) -> dict[str, str]:
    """Runs the pipeline and returns where its artifacts are.

    Args:
        spec: The compiled pipeline, as compile.py writes it.
        root: Folder for the artifacts; every run gets a folder of its own in it.
        parameters: The pipeline's parameters.

    Returns:
        {"component.artifact": path}, for example {"exporter.release": …}.

    Raises:
        RuntimeError: a component failed; its own message is in the log above.
    """
    from kfp import components, local

    warnings.filterwarnings("ignore", message="You may be attemping to run", category=RuntimeWarning)  # on purpose
    # The components' processes import our code from the repository root, as they do from the images' workdir.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root, raise_on_error=True)
    before = set(Path(root).glob("*")) if os.path.isdir(root) else set()
    components.load_component_from_file(spec)(**parameters)
    (folder,) = set(Path(root).glob("*")) - before
    return {f"{path.parent.name}.{path.name}": str(path) for path in sorted(folder.glob("*/*"))}
