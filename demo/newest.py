"""The newest run of the demo."""

from pathlib import Path

from components.common.errors import InputError


def newest(folder: str, made: str, what: str) -> Path:
    """The latest run in `folder` that has made something: runs are named after their time.

    Args:
        folder: Where the runs are.
        made: What it must hold, as a path in the run's folder.
        what: What to call that in an error.

    Raises:
        InputError: there is none.
    """
    found = sorted(Path(folder).glob(f"*/{made}"))
    if not found:
        raise InputError(f"{folder}/*/{made}", f"no {what}", "that of a run", "Run `make run` first.")
    return found[-1].parents[len(Path(made).parts) - 1]
