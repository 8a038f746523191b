"""A component's process on this machine: `python -m pipelines.local_component kfp.dsl.executor_main …`.

KFP's executor, as in a container, without what only costs seconds here: looking for garbage again and again while
modules are imported, and taking TensorFlow apart at the end.
"""

import gc
import os
import runpy
import sys

GARBAGE_AFTER = 50_000  # new objects; Python's own 700 costs a sixth of the imports


def main() -> None:
    """Runs the module that the first argument names, with the other arguments, and ends the process."""
    gc.set_threshold(GARBAGE_AFTER)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    # What it writes is written.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
