"""What the proof asks of a model with a history: its own terms, and lists for histories that come with the request."""

import numpy as np

from components.common import queries as query_models
from components.common import saved_models, schema
from components.common.errors import InputError
from components.common.queries import Queries
from components.exporter import answers
from components.exporter.answers import Proof
from components.exporter.lists import OWN_TOLERANCE, REMEDY, Expected
from components.exporter.signatures import (
    EXCLUDE,
    FROM_HISTORY,
    HISTORY_AGES,
    HISTORY_PRODUCTS,
    NO_PRODUCT,
    QUERY_EMBEDDING,
)

MOST = 1_000  # of the listed queries, those that are given a history
PURCHASES = 12  # of a history, at most


def expect_own_terms(proof: Proof, found: Queries) -> None:
    """Raises InputError where the release's own terms of the purchases' queries are not the query model's."""
    where, own, expected = f"{proof.served.path}, {QUERY_EMBEDDING}", found.own, proof.queries.own
    if own is None or expected is None:
        if own is not expected:
            said = ["own terms", "no own terms"]
            raise InputError(where, said[own is None], f"{said[expected is None]}, as by the query model", REMEDY)
        return
    ids = proof.catalogue.ids
    same = len(own.places) == len(expected.places) and bool(
        np.array_equal(own.starts, expected.starts) and np.array_equal(own.places, expected.places)
    )
    if not same:
        everyone = range(len(proof.queries.embeddings))
        mine, others = ([ids[part.take(slice(u, u + 1)).places] for u in everyone] for part in (own, expected))
        query = next(u for u in everyone if not np.array_equal(mine[u], others[u]))
        name = proof.purchases.names(np.array([query]))[0]
        raise InputError(f"{where}, {name}", _said(mine[query]), f"{_said(others[query])}, as by the tower", REMEDY)
    of_term = expected.queries
    allowed = OWN_TOLERANCE * expected.largest(slice(None))[of_term]
    wrong = np.flatnonzero(~(np.abs(own.scores - expected.scores) <= allowed))
    if len(wrong):
        term = wrong[0]
        name = proof.purchases.names(of_term[[term]])[0]
        raise InputError(
            f"{where}, {name}, own product {ids[own.places[term]]}",
            f"{own.scores[term]:.9g}",
            f"{expected.scores[term]:.9g}, as by the query model",
            REMEDY,
        )


def recommended(proof: Proof, query_model: saved_models.SavedModel) -> dict[str, int]:
    """`recommend_from_history` gives what the query model says of the same histories, with exclusions and without.

    Every second customer is one that training does not know, every fourth has no purchase in the request.

    Args:
        proof: The release.
        query_model: The Trainer's.

    Returns:
        {"histories": how many were asked for}.

    Raises:
        InputError: naming the first customer and place that differ.
    """
    model, catalogue = proof.served.another(FROM_HISTORY), proof.catalogue
    k = answers.default_k(model, catalogue)
    chosen = proof.listed[answers.some(len(proof.listed), MOST)]
    for numbers in proof.blocks(np.arange(len(chosen))):
        block = chosen[numbers]
        raw = {**proof.raw(block), **_histories(numbers, catalogue.ids)}
        if schema.CUSTOMER in raw:
            raw[schema.CUSTOMER] = np.where(numbers % 2 == 1, b"", raw[schema.CUSTOMER])
        queries = query_models.ask(query_model, raw, schema.CUSTOMER, catalogue.ids)
        scores, tolerance = answers.scores(queries, catalogue)
        names = [f"{name}, with a history" for name in proof.purchases.names(block)]
        expected = Expected(f"{model.path}, {FROM_HISTORY}", names, scores, tolerance, k)
        expected.compare(model(raw), catalogue)
        newest = raw[HISTORY_PRODUCTS][:, :1]
        left = np.where(catalogue.ids[None] == newest, -np.inf, scores)
        names = [f"{name} but for the newest product" for name in names]
        expected = Expected(f"{model.path}, {FROM_HISTORY}", names, left, tolerance, k)
        expected.compare(model({**raw, EXCLUDE: newest}), catalogue)
    return {"histories": len(chosen)}


def _histories(numbers: np.ndarray, ids: np.ndarray) -> dict[str, np.ndarray]:
    """A history for each of some numbers [b]: up to PURCHASES purchases, repeated ones among them, the newest first."""
    nth = np.arange(PURCHASES)[None]
    products = ids[(7 * numbers[:, None] + nth * (1 + numbers[:, None] % 3)) % len(ids)]
    count = np.where(numbers % 4 == 3, 0, 1 + numbers % PURCHASES)[:, None]
    ages = (0.5 + nth * (1 + numbers[:, None] % 30)).astype(np.float32)
    given = nth < count
    return {HISTORY_PRODUCTS: np.where(given, products, NO_PRODUCT), HISTORY_AGES: np.where(given, ages, 0)}


def _said(ids: np.ndarray) -> str:
    shown = " ".join(str(id_) for id_ in ids[:5])
    return f"{len(ids)} own products: {shown}" if len(ids) else "no own product"
