"""Exporter: proves the trained model against its own towers and writes `release/`, what production loads."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from components.common import (
    checksums,
    example_set,
    lineage,
    outputs,
    progress,
    queries,
    saved_models,
    schema,
    staging,
    storage,
)
from components.common import evaluation as evaluations
from components.common.claims import claiming
from components.common.errors import InputError
from components.common.example_set import ExampleSet
from components.common.lineage import Source
from components.common.model_metadata import expect_files
from components.common.product_lookup import Products
from components.common.release import FILE as RELEASE
from components.common.release import FORMAT_VERSION
from components.exporter import approximate, embeddings, vector_index, verify, warmup
from components.exporter import catalogue as catalogues
from components.exporter.signatures import FROM_HISTORY, OF_CUSTOMERS, OF_PRODUCTS

READ = ("train", "test")  # the splits
WARM_ROWS = 8  # of the larger ones among the warm-up requests


class Verified(NamedTuple):
    """What the proof found: what was compared, the figures, and the towers' embeddings of queries and catalogue."""

    result: dict[str, Any]
    figures: dict[str, Any]
    queries: np.ndarray
    candidates: np.ndarray


@claiming
def export(
    *, model: str, examples: str, evaluation: str, output_path: str, metadata_path: str = "", mix: bool = False
) -> dict[str, Any]:
    """Builds and proves the served model and writes saved_model/, embeddings/, index.json and release.json.

    Where the evaluation's verdict is no, release.json alone is written, with the verdict: nothing that could be served.

    Args:
        model: model/ of the Trainer, local or gs://.
        examples: examples/ of the DataExtractor, or a folder or glob of shards that nobody split; the customers of the
            test split are the proof.
        evaluation: evaluation/ of the Evaluator, for this model.
        output_path: Where the folder release/ goes.
        metadata_path: metadata.json of the examples, as the Trainer was told it; by default the one in their folder or,
            of shards that nobody split, beside it.
        mix: The model may be of other examples than these: an old model on new data.

    Returns:
        release.json as a dict.

    Raises:
        InputError: for anything in the inputs that the user can put right, and where the served
            model does not answer as its towers and the evaluation say; nothing is written.
    """
    measured, source = evaluations.read(evaluation), outputs.resolved(model)
    listed = example_set.find(examples, metadata_path, READ)
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(staging.staged(source))
        found = stack.enter_context(listed.opened())
        metadata = saved_models.read_metadata(model)
        if measured["model_version"] != metadata["model_version"]:
            raise InputError(
                f"{evaluation}, field model_version",
                measured["model_version"],
                f"{metadata['model_version']}, the version of {model}",
                "Run the Evaluator on this model.",
            )
        expect_files(model, metadata)
        release = {
            "format_version": FORMAT_VERSION,
            "model_version": metadata["model_version"],
            "model": source,
            **_made_from(source, metadata, evaluation, measured, found, mix),
            "verdict": measured["verdict"],
        }
        if not measured["verdict"]["promote"]:
            release = lineage.sealed(release)
            work = stack.enter_context(storage.publish(output_path, RELEASE))
            storage.write_json(storage.join(work, RELEASE), release)
            return release
        work = stack.enter_context(storage.publish(output_path, RELEASE))
        with _verifier(model, found, evaluation, work, output_path) as verified:
            with progress.step("Building the served model"):
                products = _build(model, found, storage.join(work, saved_models.RETRIEVAL_MODEL), metadata["catalogue"])
            with progress.step("Proving it"):
                verification, release["metrics"], embedded, candidates = verified()
        with progress.step("Writing what Vector Search reads"):
            os.mkdir(storage.join(work, "embeddings"))
            restricts = embeddings.restricts(metadata.get("feature_config", {}))
            embeddings.write(storage.join(work, "embeddings"), metadata["catalogue"], candidates, products, restricts)
            storage.write_json(storage.join(work, vector_index.FILE), vector_index.metadata(*candidates.shape))
        with progress.step("Measuring approximate search"):
            # Of dot products alone, without own terms: Vector Search knows no customer's own products.
            searched = approximate.measure(embedded, candidates)
        release |= {
            "verification": verification,
            "embeddings": {"products": len(candidates), "dimensions": candidates.shape[1]},
            "approximate_search": searched,
            "files": checksums.of(work),
        }
        release = lineage.sealed(release)
        storage.write_json(storage.join(work, RELEASE), release)
    return release


def _made_from(
    model: str, metadata: dict[str, Any], evaluation: str, measured: dict[str, Any], examples: ExampleSet, mix: bool
) -> dict[str, Any]:
    """`made_from` of release.json; refuses an evaluation of another model or of other examples, whatever `mix`."""
    of_examples = Source(examples.fingerprint, examples.path)
    of_model = Source(metadata["model_version"], storage.join(model, saved_models.METADATA))
    path = storage.join(evaluation, evaluations.FILE)
    lineage.expect(path, measured, model=of_model, examples=of_examples)
    lineage.expect(of_model.path, metadata, mix, examples=of_examples)
    return lineage.made_from(
        model=of_model.fingerprint,
        evaluation=measured.get("fingerprint", ""),
        examples=of_examples.fingerprint,
    )


def _build(model: str, examples: ExampleSet, output: str, catalogue: list[str]) -> Products:
    """Writes the served model, with its warm-up requests, into the folder `output`; returns the product lookup."""
    from components.exporter import serving_model  # TFRS, which takes seconds to import

    query, candidate = (
        saved_models.SavedModel(model, name) for name in (saved_models.QUERY_MODEL, saved_models.CANDIDATE_MODEL)
    )
    lookup = examples.products(candidate.columns)
    products = catalogues.read(catalogue, candidate, lookup, examples.lookup)
    some = examples.part("test").head(query.columns, WARM_ROWS)
    asked = queries.ask(query, some, schema.CUSTOMER, products.ids)
    widths = asked.embeddings.shape[1], products.embeddings.shape[1]
    if widths[0] != widths[1]:
        found = f"query embeddings {widths[0]} wide, candidate embeddings {widths[1]}"
        raise InputError(model, found, "one width", saved_models.TRAIN_AGAIN)
    serving_model.write(output, serving_model.ServingModel(query, candidate, products))
    written = saved_models.SavedModel(*os.path.split(output))
    names = (
        saved_models.SERVING,
        *OF_CUSTOMERS,
        *OF_PRODUCTS,
        *((FROM_HISTORY,) if queries.has_history(query) else ()),
    )
    signatures = {name: written.another(name) for name in names}
    warmup.write(output, warmup.of(signatures, some, products))
    return lookup


@contextlib.contextmanager
def _verifier(
    model: str, examples: ExampleSet, evaluation: str, release: str, output_path: str
) -> Iterator[Callable[[], Verified]]:
    """Starts verify.py in a fresh process, which gets ready while the release is built.

    Yields a function for when it is built.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    local = evaluation if storage.is_remote(evaluation) else os.path.abspath(evaluation)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        listed = storage.join(folder, "examples.json")
        examples.save(listed)
        paths = [os.path.abspath(model), listed, local, os.path.abspath(release), folder]
        process = subprocess.Popen(
            [sys.executable, "-m", verify.__name__, *paths],
            cwd=root,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        stack.enter_context(process)
        stack.callback(process.kill)  # where the release cannot be built

        def verified() -> Verified:
            _, said = process.communicate("built\n")
            if process.returncode:
                raise RuntimeError(f"verification ended with exit code {process.returncode}:\n{said[-4000:]}")
            result = storage.read_json(storage.join(folder, verify.RESULT), "the result of the verification")
            if "error" in result:
                where, *rest = result["error"]
                raise InputError(where.replace(os.path.abspath(release), output_path), *rest)  # which nobody will find
            figures = storage.read_json(storage.join(folder, verify.FIGURES), "the figures of the release")
            queries, candidates = (np.load(storage.join(folder, name)) for name in (verify.QUERIES, verify.CANDIDATES))
            return Verified(result, figures, queries, candidates)

        yield verified
