"""Proves, in a process of its own, that a release answers as the model's towers and its evaluation say.

`python -m components.exporter.verify MODEL EXAMPLES EVALUATION RELEASE OUTPUT` needs TensorFlow, NumPy, Arrow and the
SavedModels: nothing of the trainer, of Keras or of TFRS, nothing that another step left in memory. It begins while the
release is being built, and goes on when a line on stdin says that it is there.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from components.common import evaluation as evaluations
from components.common import example_set, saved_models, schema, storage
from components.common import queries as query_models
from components.common.errors import InputError
from components.common.example_set import ExampleSet
from components.common.queries import Queries
from components.exporter import answers, histories, purchases, recall, warmup
from components.exporter import catalogue as catalogues
from components.exporter.answers import Proof
from components.exporter.lists import REMEDY, TOLERANCE
from components.exporter.purchases import Purchases
from components.exporter.signatures import CANDIDATE_EMBEDDING, QUERY_EMBEDDING, RECOMMEND

RESULT, QUERIES, CANDIDATES = "verification.json", "queries.npy", "candidates.npy"
FIGURES = "figures.json"
EMBEDDING_TOLERANCE = 1e-6  # of a number, as a share of the largest of its embedding where that is above 1
MOST_LISTS = 10_000  # queries whose lists are compared; of more, some of all parts


def verify(
    model: str, examples: ExampleSet, evaluation: str, release: str, built: Callable[[], None] = lambda: None
) -> tuple[dict[str, Any], np.ndarray, np.ndarray, dict[str, Any]]:
    """Compares a release with the Trainer's towers, the Evaluator's Recall and the purchases.

    Args:
        model: A local model folder.
        examples: What the model was trained on.
        evaluation: The Evaluator's folder, for this model on these examples, local or gs://.
        release: A local folder with the release's saved_model/.
        built: Returns when the release is there; what needs only the model is done before.

    Returns:
        What was compared, as numbers (see README, "The release"); the towers' embeddings of the test split's queries,
        float32 [U, D], and of the catalogue [N, D]; the figures of the release, as evaluation.json has them.

    Raises:
        InputError: naming the first customer, purchase or product that differs.
    """
    towers = [saved_models.SavedModel(model, name) for name in (saved_models.QUERY_MODEL, saved_models.CANDIDATE_MODEL)]
    products = examples.products(towers[1].columns)
    catalogue = catalogues.read(saved_models.read_metadata(model)["catalogue"], towers[1], products, examples.lookup)
    test = purchases.read(examples.part("test"), towers[0].columns, catalogue.ids)
    queries = query_models.ask(towers[0], test.raw, schema.CUSTOMER, catalogue.ids)
    built()
    served = saved_models.SavedModel(release, saved_models.RETRIEVAL_MODEL, RECOMMEND)
    listed = answers.some(len(queries.embeddings), MOST_LISTS)
    proof = Proof(served, test, catalogue, queries, listed)
    embedded, candidates, difference = _embeddings(proof)
    recalls = _recalls(test, evaluation, embedded, candidates)
    figures = recalls.pop(recall.FIGURES)
    result = {
        "purchases": len(test.query),
        "queries": len(queries.embeddings),
        "max_embedding_difference": difference,
        **recalls,
        "k": answers.default_k(served, catalogue),
        "tolerance": TOLERANCE,
        "lists": len(listed),
        "max_score_difference": max(
            answers.recommended(proof), answers.excluded(proof, examples.part("train")), answers.nobody(proof)
        ),
        **answers.similar(proof),
        **(histories.recommended(proof, towers[0]) if query_models.has_history(towers[0]) else {}),
        **_warmed(served),
        "mismatches": 0,
    }
    return result, queries.embeddings, catalogue.embeddings, figures


def _embeddings(proof: Proof) -> tuple[Queries, np.ndarray, float]:
    """The release's embeddings of queries and catalogue, which are the towers', and the largest difference."""
    raw, catalogue = proof.purchases.raw, proof.catalogue
    queries = query_models.ask(proof.served.another(QUERY_EMBEDDING), raw, schema.CUSTOMER, catalogue.ids)
    candidates = proof.served.another(CANDIDATE_EMBEDDING).embed(catalogue.columns, schema.PRODUCT)
    products = [f"product {id_}" for id_ in catalogue.ids]
    differences = [
        _difference(proof, QUERY_EMBEDDING, proof.purchases.names, queries.embeddings, proof.queries.embeddings),
        _difference(
            proof, CANDIDATE_EMBEDDING, lambda rows: [products[row] for row in rows], candidates, catalogue.embeddings
        ),
    ]
    histories.expect_own_terms(proof, queries)
    return queries, candidates, max(differences)


def _difference(
    proof: Proof, signature: str, names: Callable[[np.ndarray], list[str]], found: np.ndarray, expected: np.ndarray
) -> float:
    """The largest difference of two embeddings [R, D], of which `names` names some rows."""
    where = f"{proof.served.path}, {signature}"
    if found.shape != expected.shape:
        raise InputError(where, f"embeddings {list(found.shape)}", f"{list(expected.shape)}", REMEDY)
    allowed = EMBEDDING_TOLERANCE * np.maximum(1, np.abs(expected).max(axis=1, keepdims=True))
    wrong = ~(np.abs(found - expected) <= allowed)
    if wrong.any():
        row, place = np.argwhere(wrong)[0]
        where += f", {names(np.array([row]))[0]}, number {place + 1}"
        raise InputError(where, f"{found[row, place]:.9g}", f"{expected[row, place]:.9g}, as by the tower", REMEDY)
    return float(np.abs(found - expected).max())


def _recalls(test: Purchases, evaluation: str, queries: Queries, candidates: np.ndarray) -> dict[str, Any]:
    """The Evaluator's Recall, from embeddings that the release computed."""
    path, document = storage.join(evaluation, evaluations.FILE), evaluations.read(evaluation)
    for field, what, count in (
        ("rows", "purchases", len(test.query)),
        ("customers", "customers", int(test.customer.max()) + 1),
    ):
        found = document.get(field, count)
        if found != count:
            expected = f"{count}, the {what} of the test split"
            raise InputError(f"{path}, field {field}", repr(found), expected, "Run the Evaluator on these examples.")
    figures = document["metrics"]["model"]
    return recall.compare(path, figures, queries, candidates, test.query, test.target, test.customer)


def _warmed(served: saved_models.SavedModel) -> dict[str, int]:
    """Replays the warm-up requests, as TensorFlow Serving will before the model takes a customer's."""
    requests = warmup.read(served.path)
    for number, request in enumerate(requests):
        where = f"{served.path}, {warmup.FILE}, request {number} ({request.signature})"
        model = served.another(request.signature)
        if set(request.inputs) != set(model.specs):
            raise InputError(where, f"inputs {sorted(request.inputs)}", f"{sorted(model.specs)}", REMEDY)
        outputs, rows = model(request.inputs), max(map(len, request.inputs.values()))
        if any(len(values) != rows for values in outputs.values()):
            found = {name: list(values.shape) for name, values in outputs.items()}
            raise InputError(where, f"outputs {found}", f"{rows} rows", REMEDY)
    if not requests:
        raise InputError(f"{served.path}, {warmup.FILE}", "no request", "one of every signature", REMEDY)
    return {"warmup_requests": len(requests)}


def _built() -> None:
    """Waits for a line on stdin, which says that the release is there."""
    if not sys.stdin.readline():
        sys.exit("nobody waits for the result")


def main(model: str, examples: str, evaluation: str, release: str, output: str) -> None:
    """Writes into the folder `output`: verification.json, or in it what is wrong; figures; the towers' embeddings.

    Args:
        model, evaluation, release: As for `verify`.
        examples: The file that ExampleSet.save wrote.
        output: Where.
    """
    try:
        found = example_set.load(examples)
        result, queries, candidates, figures = verify(model, found, evaluation, release, _built)
        storage.write_json(storage.join(output, FIGURES), figures)
        np.save(storage.join(output, QUERIES), queries)
        np.save(storage.join(output, CANDIDATES), candidates)
    except InputError as error:
        result = {"error": [error.where, error.found, error.expected, error.remedy]}
    storage.write_json(storage.join(output, RESULT), result)


if __name__ == "__main__":
    main(*sys.argv[1:])
