"""Containers' commands as processes of this machine, in the repository's root as in the images' workdir."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.servers.vertex_state import State

ROOT = Path(__file__).resolve().parents[2]
MOUNT = Path(__file__).resolve().parent / "mount"  # its sitecustomize.py puts the folder in the place of /gcs
KEPT = ("HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "TF_CPP_MIN_LOG_LEVEL", "TF_USE_LEGACY_KERAS")


def start(state: State, command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a command in a process group of its own, with little of this process's environment.

    Args:
        state: The server's.
        command: What the container would run.
        environment: What the container sets.
        log: Where its output goes.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    python = os.path.dirname(sys.executable)
    variables = {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **state.environment,
        "PATH": os.pathsep.join([python, os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join([str(MOUNT), str(ROOT)]),
        "GCS_MOUNT": f"{state.folder}/",
        **environment,
    }
    with open(log, "wb") as file:
        return subprocess.Popen(
            command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
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
