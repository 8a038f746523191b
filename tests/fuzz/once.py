"""What takes long and reads nothing is done once for equal arguments, so that a thousand runs can be tried."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests import saved_models


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """SavedModels are loaded, served models written and charts drawn once; releases are proven in this process."""
    from components.evaluator.plots import curves
    from components.exporter import serving_model, verify

    real, write, written = serving_model.ServingModel, serving_model.write, dict[str, Path]()

    def write_once(folder: str, planned: tuple[Any, ...]) -> None:
        query_model, candidate_model, catalogue = planned
        contents = [saved_models.digest(Path(model.path)) for model in (query_model, candidate_model)]
        arrays = [*catalogue._asdict().values(), *catalogue.columns.values()]
        key = digest(*contents, *(array for array in arrays if isinstance(array, np.ndarray)))
        if key not in written:
            path = kept / str(len(written))
            write(str(path), real(*planned))
            written[key] = path
        shutil.copytree(written[key], folder)

    with contextlib.ExitStack() as stack:
        kept = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(saved_models.loaded_once())
        stack.enter_context(mock.patch.object(curves, "chart", _once(curves.chart)))
        stack.enter_context(mock.patch.object(serving_model, "ServingModel", lambda *planned: planned))
        stack.enter_context(mock.patch.object(serving_model, "write", write_once))
        stack.enter_context(mock.patch.object(subprocess, "Popen", Proof))
        stack.enter_context(mock.patch.object(verify, "_built"))
        yield


class Proof(contextlib.nullcontext[None]):
    """What the Exporter uses of a subprocess.Popen, in this process."""

    returncode = 0

    def __init__(self, command: list[str], **_: Any):
        super().__init__()
        if command[:2] != [sys.executable, "-m"]:
            raise AssertionError(command)
        self.paths = command[3:]

    def communicate(self, _: str) -> tuple[str, str]:
        from components.exporter import verify

        verify.main(*self.paths)
        return "", ""

    def kill(self) -> None:
        """It has ended."""


def digest(*parts: Any) -> str:
    """Of bytes, texts and arrays, in twelve hex digits."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(repr((part.shape, part.dtype)).encode())
            part = repr(part.tolist()) if part.dtype == object else np.ascontiguousarray(part).tobytes()
        found.update(part if isinstance(part, bytes) else str(part).encode(errors="surrogatepass"))
    return found.hexdigest()[:12]


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    done: dict[str, Any] = {}

    def once(*values: Any, **options: Any) -> Any:
        key = repr((values, options))
        if key not in done:
            done[key] = function(*values, **options)
        return done[key]

    return once
