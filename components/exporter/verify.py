"""Proves, in a process of its own, that a release answers as the model's towers and its evaluation say.

`python -m components.exporter.verify MODEL EXAMPLES EVALUATION RELEASE OUTPUT` needs TensorFlow, NumPy, Arrow and the
SavedModels: nothing of the trainer, of Keras or of TFRS, nothing that another step left in memory.
"""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from components.common import saved_models, schema, storage
from components.common.errors import InputError
from components.exporter import catalogue as catalogues
from components.exporter import purchases, recall, warmup
from components.exporter.catalogue import Catalogue
from components.exporter.lists import REMEDY, TOLERANCE, Expected
from components.exporter.purchases import Purchases
from components.exporter.signatures import (
    CANDIDATE_EMBEDDING,
    CATEGORY,
    EXCLUDE,
    EXCLUDING,
    QUERY_EMBEDDING,
    RECOMMEND,
    SIMILAR,
    K,
)

RESULT, QUERIES, CANDIDATES = "verification.json", "queries.npy", "candidates.npy"
EMBEDDING_TOLERANCE = 1e-6  # of a number, as a share of the largest of its embedding where that is above 1
MOST_LISTS, MOST_PRODUCTS = 10_000, 1_000  # queries and products whose lists are compared; of more, some of all parts
BLOCK_BYTES = 32 << 20


class Proof(NamedTuple):
    """All that the steps of the proof compare."""

    served: saved_models.SavedModel  # the release's, signature recommend
    purchases: Purchases
    catalogue: Catalogue
    queries: np.ndarray  # float32 [U, D], of the towers as the Trainer wrote them; so are the catalogue's embeddings
    listed: np.ndarray  # int [L], the queries whose lists are compared

    def blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Parts of `rows` whose scores take BLOCK_BYTES."""
        size = max(1, BLOCK_BYTES // (8 * len(self.catalogue.ids)))
        yield from (rows[start : start + size] for start in range(0, len(rows), size))

    def scores(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of queries by the towers, float64 [b, N], and by how much two computations of them may differ [b, 1]."""
        queries, candidates = (part.astype(np.float64) for part in (self.queries[block], self.catalogue.embeddings))
        lengths = np.linalg.norm(queries, axis=1, keepdims=True)
        return queries @ candidates.T, TOLERANCE * lengths * np.linalg.norm(candidates, axis=1).max()

    def raw(self, block: np.ndarray) -> dict[str, np.ndarray]:
        return {column: values[block] for column, values in self.purchases.raw.items()}


def verify(model: str, examples: str, evaluation: str, release: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Compares a release with the Trainer's towers, the Evaluator's Recall and the purchases.

    Args:
        model: A local model folder.
        examples: A local examples folder.
        evaluation: The Evaluator's folder, for this model on these examples, local or gs://.
        release: A local folder with the release's saved_model/.

    Returns:
        What was compared, as numbers (see README, "The release"); the towers' embeddings of the test split's queries,
        float32 [U, D], and of the catalogue [N, D].

    Raises:
        InputError: naming the first customer, purchase or product that differs.
    """
    towers = [saved_models.SavedModel(model, name) for name in (saved_models.QUERY_MODEL, saved_models.CANDIDATE_MODEL)]
    lookup = storage.join(examples, schema.METADATA)
    products = schema.read_metadata(lookup)["products"]
    catalogue = catalogues.read(saved_models.read_metadata(model)["catalogue"], towers[1], products, lookup)
    test = purchases.read(examples, towers[0].columns, catalogue.ids)
    queries = towers[0].embed(test.raw, schema.CUSTOMER)
    served = saved_models.SavedModel(release, saved_models.RETRIEVAL_MODEL, RECOMMEND)
    listed = _some(len(queries), MOST_LISTS)
    proof = Proof(served, test, catalogue, queries, listed)
    embeddings, difference = _embeddings(proof)
    result = {
        "purchases": len(test.query),
        "customers": len(queries),
        "max_embedding_difference": difference,
        **_recalls(test, evaluation, *embeddings),
        "k": _default_k(served),
        "tolerance": TOLERANCE,
        "lists": len(listed),
        "max_score_difference": max(_recommended(proof), _excluded(proof, examples), _nobody(proof)),
        **_similar(proof),
        **_warmed(served),
        "mismatches": 0,
    }
    return result, queries, catalogue.embeddings


def _some(count: int, most: int) -> np.ndarray:
    """All of `count` rows, or `most` of them, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


def _embeddings(proof: Proof) -> tuple[list[np.ndarray], float]:
    """The release's embeddings of queries and catalogue, which are those of the towers, and their largest difference."""
    embeddings, differences = [], []
    for signature, raw, key, expected in (
        (QUERY_EMBEDDING, proof.purchases.raw, schema.CUSTOMER, proof.queries),
        (CANDIDATE_EMBEDDING, proof.catalogue.columns, schema.PRODUCT, proof.catalogue.embeddings),
    ):
        found = proof.served.another(signature).embed(raw, key)
        where = f"{proof.served.path}, {signature}"
        if found.shape != expected.shape:
            raise InputError(where, f"embeddings {list(found.shape)}", f"{list(expected.shape)}", REMEDY)
        allowed = EMBEDDING_TOLERANCE * np.maximum(1, np.abs(expected).max(axis=1, keepdims=True))
        wrong = ~(np.abs(found - expected) <= allowed)
        if wrong.any():
            row, place = np.argwhere(wrong)[0]
            is_customer = key == schema.CUSTOMER
            name = proof.purchases.names([row])[0] if is_customer else f"product {proof.catalogue.ids[row]}"
            expectation = f"{expected[row, place]:.9g}, as by the tower"
            raise InputError(f"{where}, {name}, number {place + 1}", f"{found[row, place]:.9g}", expectation, REMEDY)
        embeddings.append(found)
        differences.append(float(np.abs(found - expected).max()))
    return embeddings, max(differences)


def _recalls(test: Purchases, evaluation: str, queries: np.ndarray, candidates: np.ndarray) -> dict[str, float]:
    """The Evaluator's Recall, from embeddings that the release computed."""
    path = storage.join(evaluation, "evaluation.json")
    document = storage.read_json(path, "the evaluation.json of the Evaluator")
    if document.get("rows") != len(test.query):
        found, expected = repr(document.get("rows")), f"{len(test.query)}, the purchases of the test split"
        raise InputError(f"{path}, field rows", found, expected, "Run the Evaluator on these examples.")
    return recall.compare(path, document["metrics"]["model"], queries, candidates, test.query, test.target)


def _default_k(served: saved_models.SavedModel) -> int:
    k = served.defaults.get(K)
    if k is None:
        raise InputError(f"{served.path}, {RECOMMEND}", "no default of k", "one", REMEDY)
    return int(k[0])


def _recommended(proof: Proof) -> float:
    """The largest difference of a score in the lists of `recommend`, which hold what the towers say."""
    differences = [0.0]
    for block in proof.blocks(proof.listed):
        scores, tolerance = proof.scores(block)
        where, names = f"{proof.served.path}, {RECOMMEND}", proof.purchases.names(block)
        expected = Expected(where, names, scores, tolerance, _default_k(proof.served))
        differences.append(expected.compare(proof.served(proof.raw(block)), proof.catalogue))
    return max(differences)


def _excluded(proof: Proof, examples: str) -> float:
    """The same of `recommend_excluding`: without what each customer bought in training, of all categories and of one.

    The category is another one from customer to customer, so that all have their turn.
    """
    model, catalogue = proof.served.another(EXCLUDING), proof.catalogue
    bought = purchases.bought(examples, proof.purchases.customers[proof.listed])
    named = np.unique(catalogue.categories[catalogue.categories != b""].astype(object))
    place_of = {id_: place for place, id_ in enumerate(catalogue.ids.tolist())}
    differences, done = [0.0], 0
    for block in proof.blocks(proof.listed):
        exclude = purchases.filled(bought[done : done + len(block)])
        scores, tolerance = proof.scores(block)
        for row, ids in enumerate(bought[done : done + len(block)]):
            scores[row, [place_of[id_] for id_ in ids.tolist() if id_ in place_of]] = -np.inf
        asked = {"all categories": np.full(len(block), b"", object)}
        if len(named):
            asked["one category"] = named[np.arange(done, done + len(block)) % len(named)]
        for what, category in asked.items():
            other = (category[:, None] != b"") & (catalogue.categories[None] != category[:, None])
            left = np.where(other, -np.inf, scores)
            names = [f"{name}, {what}" for name in proof.purchases.names(block)]
            expected = Expected(f"{model.path}, {EXCLUDING}", names, left, tolerance, _default_k(model))
            outputs = model({**proof.raw(block), EXCLUDE: exclude, CATEGORY: category})
            differences.append(expected.compare(outputs, catalogue))
        done += len(block)
    return max(differences)


def _nobody(proof: Proof) -> float:
    """The same of a request without any input: sensible products, for nobody in particular."""
    nobody = proof.served.another(QUERY_EMBEDDING).embed({}, schema.CUSTOMER)
    scores, tolerance = proof._replace(queries=nobody).scores(np.zeros(1, np.int64))
    where, names = f"{proof.served.path}, {RECOMMEND}", ["nothing given"]
    expected = Expected(where, names, scores, tolerance, _default_k(proof.served))
    return expected.compare(proof.served({}), proof.catalogue)


def _similar(proof: Proof) -> dict[str, int]:
    """`similar_products` orders by the cosine of embeddings, without the product itself; an unknown one has none."""
    model, catalogue = proof.served.another(SIMILAR), proof.catalogue
    embeddings = catalogue.embeddings.astype(np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = np.divide(embeddings, lengths, out=np.zeros_like(embeddings), where=lengths > 0)
    where, k = f"{model.path}, {SIMILAR}", _default_k(model)
    chosen = _some(len(catalogue.ids), MOST_PRODUCTS)
    for block in proof.blocks(chosen):
        cosines = directions[block] @ directions.T
        cosines[np.arange(len(block)), block] = -np.inf
        names = [f"product {id_}" for id_ in catalogue.ids[block]]
        expected = Expected(where, names, cosines, np.full((len(block), 1), TOLERANCE), k)
        expected.compare(model({schema.PRODUCT: catalogue.ids[block]}), catalogue)
    unknown = next(id_ for id_ in range(len(catalogue.ids) + 1) if id_ not in set(catalogue.ids.tolist()))
    nothing = np.full((1, len(catalogue.ids)), -np.inf)
    expected = Expected(where, [f"product {unknown}, which is unknown"], nothing, np.zeros((1, 1)), k)
    expected.compare(model({schema.PRODUCT: np.array([unknown], np.int64)}), catalogue)
    return {"similar_products": len(chosen)}


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


def main(model: str, examples: str, evaluation: str, release: str, output: str) -> None:
    """Writes into the folder `output`: verification.json, or in it what is wrong, and the towers' embeddings."""
    try:
        result, queries, candidates = verify(model, examples, evaluation, release)
        np.save(storage.join(output, QUERIES), queries)
        np.save(storage.join(output, CANDIDATES), candidates)
    except InputError as error:
        result = {"error": [error.where, error.found, error.expected, error.remedy]}
    storage.write_json(storage.join(output, RESULT), result)


if __name__ == "__main__":
    main(*sys.argv[1:])
