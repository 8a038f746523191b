"""Containers' commands as processes of this machine, in a folder that holds what their image does (see images.py)."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.servers import images
from tests.servers.vertex_state import State

MOUNT = Path(__file__).resolve().parent / "mount"  # its sitecustomize.py puts the folder in the place of /gcs
KEPT = ("HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "TF_CPP_MIN_LOG_LEVEL", "TF_USE_LEGACY_KERAS")


def start(
    state: State, image: str, command: list[str], environment: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Starts a command in a process group of its own, with little of this process's environment.

    Args:
        state: The server's.
        image: The container's image.
        command: What the container would run.
        environment: What the container sets.
        log: Where its output goes.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    python, held = os.path.dirname(sys.executable), images.image(image)
    variables = {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **held.environment,
        **state.environment,
        "PATH": os.pathsep.join([python, os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(MOUNT), held.environment.get("PYTHONPATH")])),
        "GCS_MOUNT": f"{state.folder}/",
        **environment,
    }
    with open(log, "wb") as file:
        return subprocess.Popen(
            command,
            cwd=held.workdir,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], seconds: float = 5) -> None:
    """Ends a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
