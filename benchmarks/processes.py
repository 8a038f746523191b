"""Runs one function in a fresh process and measures it there: wall time without imports, and peak memory."""

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any, NamedTuple


class Run(NamedTuple):
    """What a run took: seconds without imports, peak resident memory in MiB with them, and what it returned."""

    seconds: float
    peak_mib: float
    result: Any


def measured(function: str, cores: int = 0, preload: tuple[str, ...] = (), **arguments: Any) -> Run:
    """Calls `function`, given as "module:name", in a process of its own.

    Args:
        function: It takes the arguments and returns something that JSON can hold.
        cores: Bind the process to this many cores; 0 leaves it all.
        preload: Modules to import before the clock starts; the function imports them only when it needs them.
        arguments: Its keyword arguments, as JSON can hold them.
    """
    command = [
        sys.executable,
        "-m",
        "benchmarks.processes",
        function,
        str(cores),
        ",".join(preload),
        json.dumps(arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{function} failed:\n{done.stderr[-4000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _main(function: str, cores: str, preload: str, arguments: str) -> None:
    if int(cores):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    module, _, name = function.partition(":")
    for needed in filter(None, preload.split(",")):
        importlib.import_module(needed)
    call = getattr(importlib.import_module(module), name)
    started = time.perf_counter()
    result = call(**json.loads(arguments))
    seconds = time.perf_counter() - started
    print(json.dumps(Run(seconds, _peak_mib(), result)._asdict()))


def _peak_mib() -> float:
    """Peak resident memory of this process. On Linux ru_maxrss would begin with what the parent held."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # bytes on a Mac


if __name__ == "__main__":
    _main(*sys.argv[1:])
