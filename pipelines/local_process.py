"""The process in which kfp.local runs one pipeline. `pipelines.local` starts it, reads what it prints, and ends it.

kfp.local prints to this process's stdout what a pipeline and its steps have to say, and takes parts of Python for
itself (`print`, the root logger): here it has them alone. The steps' processes belong to this one's group.
"""

import json
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from pipelines import containers


def main(request: str) -> bool:
    """Runs a pipeline; returns whether it succeeded.

    Args:
        request: A JSON file: the compiled pipeline as `document`, its `parameters`, the run's `folder`, and for
            containers their `user` and the folders they see, `readable`; without a user the steps are processes.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Only now, because they take a second: their parent may have gone in the meantime.
    from google.protobuf import json_format
    from kfp.local import status, utils
    from kfp.local.orchestrator import dag_orchestrator
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

    given = json.loads(Path(request).read_text(encoding="utf-8"))
    folder = Path(given["folder"])
    pipeline = json_format.ParseDict(given["document"], PipelineSpec())
    executors = pipeline.deployment_spec["executors"].items()
    # What calling a loaded pipeline does, but in a folder whose name is known before.
    _, ended = dag_orchestrator.run_dag(
        pipeline_resource_name=folder.name,
        dag_component_spec=pipeline.root,
        executors={name: utils.struct_to_executor_spec(executor) for name, executor in executors},
        components=dict(pipeline.components),
        dag_arguments=given["parameters"],
        pipeline_root=str(folder.parent),
        runner=_runner(folder.name, given["user"], given["readable"]),
        unique_pipeline_id=folder.name,
        fail_stack=[],
    )
    return bool(ended == status.Status.SUCCESS)


def _runner(run: str, user: int | None, readable: list[str]) -> Any:
    from kfp import local

    if user is not None:
        return containers.runner(user, readable, run)
    warnings.filterwarnings("ignore", message="You may be attemping to run", category=RuntimeWarning)  # on purpose
    return local.SubprocessRunner(use_venv=False)


def _end_with_parent() -> None:
    """Ends this process and the steps' when the one that started it is gone, however that ended."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1]) else 1)
