"""Proves, in a process of its own, that saved_model recommends what its towers say.

`python -m components.exporter.verify MODEL EXAMPLES OUTPUT` needs TensorFlow, NumPy and the three SavedModels:
nothing of the trainer, nothing that another step left in memory.
"""

import sys
from typing import Any

import numpy as np

from components.common import examples as shards
from components.common import saved_models, schema, storage
from components.common.errors import InputError

RESULT, CANDIDATES = "verification.json", "candidates.npy"
TOLERANCE = 1e-5
BLOCK = 1024


def verify(model: str, examples: str) -> tuple[dict[str, Any], np.ndarray]:
    """Compares saved_model's top k with the exact top k of the towers, for every distinct customer of the test split.

    Scores are float32 sums, so they depend on the order of summation by up to about
    TOLERANCE · |query| · max |candidate|. Where the towers' scores are closer than that, either order is right;
    anywhere else the ids must agree, place by place.

    Args:
        model: A local model folder.
        examples: A local examples folder.

    Returns:
        {"customers", "k", "tolerance", "max_score_difference", "mismatches"}, and the candidate embeddings,
        float32 [N, D], in the order of the catalogue.

    Raises:
        InputError: naming the first customer whose recommendations differ.
    """
    catalogue = saved_models.read_metadata(model)["catalogue"]
    metadata_path = storage.join(examples, schema.METADATA)
    products = schema.read_metadata(metadata_path)["products"]
    query_model, candidate_model, retrieval_model = (
        saved_models.SavedModel(model, name)
        for name in (saved_models.QUERY_MODEL, saved_models.CANDIDATE_MODEL, saved_models.RETRIEVAL_MODEL)
    )
    columns = {**query_model.columns, **retrieval_model.columns, schema.CUSTOMER: "string"}
    rows = shards.read(shards.shards(storage.join(examples, "test")), columns)
    first, _ = saved_models.distinct(rows)
    raw = {column: values[first] for column, values in rows.items()}
    product_columns = saved_models.product_columns(catalogue, products, candidate_model.columns, metadata_path)
    candidates = candidate_model.embed(product_columns, schema.PRODUCT)
    queries = query_model.embed(raw, schema.CUSTOMER)
    if queries.shape[1] != candidates.shape[1]:
        found = f"query embeddings {queries.shape[1]} wide, candidate embeddings {candidates.shape[1]}"
        raise InputError(model, found, "one width", saved_models.TRAIN_AGAIN)
    outputs = retrieval_model(raw)
    for name in ("product_ids", "scores"):
        if name not in outputs:
            found = f"outputs {sorted(outputs)}"
            raise InputError(retrieval_model.path, found, "product_ids and scores", saved_models.TRAIN_AGAIN)
    difference = 0.0
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        difference = max(
            difference,
            _compare(
                retrieval_model.path,
                [customer.decode(errors="replace") for customer in raw[schema.CUSTOMER][block]],
                product_columns[schema.PRODUCT],
                (queries[block].astype(np.float64), candidates.astype(np.float64)),
                (outputs["product_ids"][block], outputs["scores"][block]),
            ),
        )
    result = {
        "customers": len(queries),
        "k": outputs["product_ids"].shape[1],
        "tolerance": TOLERANCE,
        "max_score_difference": difference,
        "mismatches": 0,
    }
    return result, candidates


def _compare(
    where: str,
    customers: list[str],
    catalogue: np.ndarray,
    towers: tuple[np.ndarray, np.ndarray],
    served: tuple[np.ndarray, np.ndarray],
) -> float:
    """The largest difference of a score; InputError at the first customer whose ids or scores are wrong."""
    (queries, candidates), (ids, found) = towers, served
    exact = queries @ candidates.T
    k = ids.shape[1]
    order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(exact, order, axis=1)
    tolerance = TOLERANCE * np.linalg.norm(queries, axis=1, keepdims=True) * np.linalg.norm(candidates, axis=1).max()
    sorter = np.argsort(catalogue)
    places = sorter[np.searchsorted(catalogue, ids, sorter=sorter).clip(max=len(catalogue) - 1)]
    known = catalogue[places] == ids
    own = np.take_along_axis(exact, places, axis=1)
    again = np.zeros_like(known)
    for row, of_customer in enumerate(ids):
        again[row, np.setdiff1d(np.arange(k), np.unique(of_customer, return_index=True)[1])] = True
    # `not <=` rather than `>`: a NaN score is a mismatch.
    wrong = ~known | again | ~(np.abs(own - best) <= tolerance) | ~(np.abs(found - own) <= tolerance)
    if wrong.any():
        row, place = np.argwhere(wrong)[0]
        raise InputError(
            f"{where}, customer {customers[row]}, place {place + 1} of {k}",
            f"product {ids[row, place]} with score {found[row, place]:.6g} (its first ids: {_first(ids[row])})",
            f"product {catalogue[order[row, place]]} with score {best[row, place]:.6g} by the towers "
            f"(their first ids: {_first(catalogue[order[row]])})",
            "Nothing is released. saved_model does not hold these towers: run the Trainer again.",
        )
    return float(np.abs(found - own).max())


def _first(ids: np.ndarray, shown: int = 5) -> str:
    return " ".join(str(product) for product in ids[:shown])


def main(model: str, examples: str, output: str) -> None:
    """Writes verification.json, or in it what is wrong with the input, and candidates.npy into the folder `output`."""
    try:
        result, candidates = verify(model, examples)
        np.save(storage.join(output, CANDIDATES), candidates)
    except InputError as error:
        result = {"error": [error.where, error.found, error.expected, error.remedy]}
    storage.write_json(storage.join(output, RESULT), result)


if __name__ == "__main__":
    main(*sys.argv[1:])
