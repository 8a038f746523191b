"""`make serve`: the newest release of `make run` behind the HTTP server, with its households on the page at /."""

import sys
from pathlib import Path

from components.common import cli
from demo.newest import newest
from serving_image import server

EXPORTED, EXTRACTED = "exporter/release", "data-extractor/examples"
MODEL = f"{EXPORTED}/saved_model"


def serve(*, folder: str = "runs/demo", release: str = "", examples: str = "", port: int = 8080) -> None:
    """Serves a release of the demo on this machine, until Ctrl-C.

    Args:
        folder: Where the runs are.
        release: Another release than the newest.
        examples: The examples it was made from. Default: those of its run.
        port: 0 takes a free one.
    """
    release = release or str(newest(folder, MODEL, "released model") / EXPORTED)
    beside = Path(release).parents[1] / EXTRACTED
    examples = examples or (str(beside) if beside.exists() else "")
    print(f"loading {release}", file=sys.stderr)
    server.run(server.Settings(release, examples, port=port))


if __name__ == "__main__":
    cli.run(serve)
