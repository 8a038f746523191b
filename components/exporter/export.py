"""Exporter: proves the trained model against its own towers and writes `release/`, what production loads."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from components.common import saved_models, schema, staging, storage
from components.common.errors import InputError
from components.exporter import embeddings, verify

RELEASE = "release.json"
FORMAT_VERSION, EVALUATION_VERSION = 2, 2


def export(*, model: str, examples: str, evaluation: str, output_path: str) -> dict[str, Any]:
    """Verifies a model and writes saved_model/, embeddings/ and release.json.

    Where the evaluation's verdict is no, release.json alone is written, with the verdict: nothing that could be served.

    Args:
        model: model/ of the Trainer, local or gs://.
        examples: examples/ of the DataExtractor; the customers of its test split are the proof.
        evaluation: evaluation/ of the Evaluator, for this model.
        output_path: Where the folder release/ goes.

    Returns:
        release.json as a dict.

    Raises:
        InputError: for anything in the inputs that the user can put right, and where the model does not
            recommend what its towers say; nothing is written.
    """
    storage.refuse_overwrite(output_path)
    measured, source = _read_evaluation(evaluation), model
    with contextlib.ExitStack() as stack:
        model, examples = (stack.enter_context(staging.staged(path)) for path in (model, examples))
        metadata = saved_models.read_metadata(model)
        if measured["model_version"] != metadata["model_version"]:
            raise InputError(
                f"{evaluation}, field model_version",
                measured["model_version"],
                f"{metadata['model_version']}, the version of {model}",
                "Run the Evaluator on this model.",
            )
        release = {
            "format_version": FORMAT_VERSION,
            "model_version": metadata["model_version"],
            "model": source,
            "verdict": measured["verdict"],
            "metrics": measured["metrics"]["model"],
        }
        if not measured["verdict"]["promote"]:
            work = stack.enter_context(storage.publish(output_path, RELEASE))
            storage.write_json(storage.join(work, RELEASE), release)
            return release
        products = schema.read_metadata(storage.join(examples, schema.METADATA))["products"]
        verification, candidates = _verified(model, examples)
        work = stack.enter_context(storage.publish(output_path, RELEASE))
        shutil.copytree(storage.join(model, saved_models.RETRIEVAL_MODEL), storage.join(work, "saved_model"))
        os.mkdir(storage.join(work, "embeddings"))
        embeddings.write(storage.join(work, "embeddings"), metadata["catalogue"], candidates, products)
        release |= {
            "verification": verification,
            "embeddings": {"products": len(candidates), "dimensions": candidates.shape[1]},
            "files": _files(work),
        }
        storage.write_json(storage.join(work, RELEASE), release)
    return release


def _read_evaluation(folder: str) -> dict[str, Any]:
    path = storage.join(folder, "evaluation.json")
    measured = storage.read_json(path, "the evaluation.json of the Evaluator")
    schema.expect_version(path, measured, EVALUATION_VERSION, "Evaluator")
    again = "Run the Evaluator again."
    for field in ("model_version", "verdict", "metrics"):
        if not measured.get(field):
            raise InputError(f"{path}, field {field}", "nothing", f"the {field}", again)
    if measured.get("split") != "test":
        found = repr(measured.get("split"))
        raise InputError(f"{path}, field split", found, "test, which training has not seen", again)
    promote, passed = _verdict(measured["verdict"])
    if promote is not passed:  # any other text would count as a yes
        raise InputError(f"{path}, field verdict.promote", repr(promote), "true where all reasons passed", again)
    if not isinstance(measured["metrics"], dict) or not measured["metrics"].get("model"):
        raise InputError(f"{path}, field metrics", "no figures of the model", "those of the model", again)
    return measured


def _verdict(verdict: Any) -> tuple[Any, bool]:
    """What the verdict says, and what its reasons say."""
    try:
        return verdict["promote"], all(reason["passed"] is True for reason in verdict["reasons"])
    except (KeyError, TypeError):
        return verdict, False


def _verified(model: str, examples: str) -> tuple[dict[str, Any], np.ndarray]:
    """Runs verify.py in a fresh process: its result and the candidate embeddings that it proved."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", verify.__name__, os.path.abspath(model), os.path.abspath(examples), folder]
        done = subprocess.run(command, cwd=root, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        if done.returncode:
            raise RuntimeError(f"verification ended with exit code {done.returncode}:\n{done.stderr[-4000:]}")
        result = storage.read_json(storage.join(folder, verify.RESULT), "the result of the verification")
        if "error" in result:
            raise InputError(*result["error"])
        return result, np.load(storage.join(folder, verify.CANDIDATES))


def _files(folder: str) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file, by path in the folder."""
    paths = sorted(os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
    files = {}
    for path in paths:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files[os.path.relpath(path, folder)] = {"bytes": os.path.getsize(path), "sha256": digest}
    return files
