"""What the proof asks of each signature that gives lists: the answers that the towers and own terms lead to."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from components.common import queries as query_models
from components.common import saved_models, schema
from components.common.errors import InputError
from components.common.example_part import Part
from components.common.queries import Queries
from components.exporter import purchases
from components.exporter.catalogue import Catalogue
from components.exporter.lists import OWN_TOLERANCE, REMEDY, TOLERANCE, Expected
from components.exporter.purchases import Purchases
from components.exporter.signatures import (
    CATEGORY,
    EXCLUDE,
    EXCLUDING,
    MOST_SHOWN,
    QUERY_EMBEDDING,
    RECOMMEND,
    SIMILAR,
    K,
)

MOST_PRODUCTS = 1_000  # whose similar ones are compared; of more, some of all parts
BLOCK_BYTES = 32 << 20


class Proof(NamedTuple):
    """All that the steps of the proof compare."""

    served: saved_models.SavedModel  # the release's, signature recommend
    purchases: Purchases
    catalogue: Catalogue
    queries: Queries  # U, of the towers as the Trainer wrote them; so are the catalogue's embeddings
    listed: np.ndarray  # int [L], the queries whose lists are compared

    def blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Parts of `rows` whose scores take BLOCK_BYTES."""
        size = max(1, BLOCK_BYTES // (8 * len(self.catalogue.ids)))
        yield from (rows[start : start + size] for start in range(0, len(rows), size))

    def scores(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of queries by the towers, float64 [b, N], and how far two computations of one may differ [b, 1]."""
        return scores(self.queries.take(block), self.catalogue)

    def raw(self, block: np.ndarray) -> dict[str, np.ndarray]:
        return {column: values[block] for column, values in self.purchases.raw.items()}


def scores(queries: Queries, catalogue: Catalogue) -> tuple[np.ndarray, np.ndarray]:
    """See `Proof.scores`."""
    left, candidates = (part.astype(np.float64) for part in (queries.embeddings, catalogue.embeddings))
    lengths = np.linalg.norm(left, axis=1, keepdims=True)
    found, tolerance = left @ candidates.T, TOLERANCE * lengths * np.linalg.norm(candidates, axis=1).max()
    if queries.own is not None:
        everyone = slice(0, len(left))
        queries.own.add(found, everyone)
        tolerance += OWN_TOLERANCE * queries.own.largest(everyone)[:, None]
    return found, tolerance


def some(count: int, most: int) -> np.ndarray:
    """All of `count` rows, or `most` of them, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


def default_k(served: saved_models.SavedModel, catalogue: Catalogue) -> int:
    """How many products a row has where k is left out; InputError where it is not as `signatures` says."""
    expected, found = min(MOST_SHOWN, len(catalogue.ids)), served.defaults.get(K)
    if found is None or found.tolist() != [expected]:
        found_in_words = "no default of k" if found is None else f"{found.tolist()} as the default of k"
        raise InputError(served.path, found_in_words, f"[{expected}]", REMEDY)
    return expected


def recommended(proof: Proof) -> float:
    """The largest difference of a score in the lists of `recommend`, which hold what the towers say."""
    differences = [0.0]
    for block in proof.blocks(proof.listed):
        scores, tolerance = proof.scores(block)
        where, names = f"{proof.served.path}, {RECOMMEND}", proof.purchases.names(block)
        expected = Expected(where, names, scores, tolerance, default_k(proof.served, proof.catalogue))
        differences.append(expected.compare(proof.served(proof.raw(block)), proof.catalogue))
    return max(differences)


def excluded(proof: Proof, train: Part) -> float:
    """The same of `recommend_excluding`: without what each customer bought in training, of all categories and of one.

    The category is another one from customer to customer, so that all have their turn.

    Args:
        proof: The release.
        train: The rows of the train split.
    """
    model, catalogue = proof.served.another(EXCLUDING), proof.catalogue
    bought = purchases.bought(train, proof.purchases.customers[proof.listed])
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
            expected = Expected(f"{model.path}, {EXCLUDING}", names, left, tolerance, default_k(model, catalogue))
            outputs = model({**proof.raw(block), EXCLUDE: exclude, CATEGORY: category})
            differences.append(expected.compare(outputs, catalogue))
        done += len(block)
    return max(differences)


def nobody(proof: Proof) -> float:
    """The same of a request without any input: sensible products, for nobody in particular."""
    embedding = proof.served.another(QUERY_EMBEDDING)
    nobody = query_models.ask(embedding, {}, schema.CUSTOMER, proof.catalogue.ids)
    expected_scores, tolerance = scores(nobody, proof.catalogue)
    where, names = f"{proof.served.path}, {RECOMMEND}", ["nothing given"]
    expected = Expected(where, names, expected_scores, tolerance, default_k(proof.served, proof.catalogue))
    return expected.compare(proof.served({}), proof.catalogue)


def similar(proof: Proof) -> dict[str, int]:
    """`similar_products` orders by the cosine of embeddings, without the product itself; an unknown one has none."""
    model, catalogue = proof.served.another(SIMILAR), proof.catalogue
    embeddings = catalogue.embeddings.astype(np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = np.divide(embeddings, lengths, out=np.zeros_like(embeddings), where=lengths > 0)
    where, k = f"{model.path}, {SIMILAR}", default_k(model, catalogue)
    chosen = some(len(catalogue.ids), MOST_PRODUCTS)
    for block in proof.blocks(chosen):
        cosines = directions[block] @ directions.T
        cosines[np.arange(len(block)), block] = -np.inf
        names = [f"product {id_}" for id_ in catalogue.ids[block]]
        expected = Expected(where, names, cosines, np.full((len(block), 1), TOLERANCE), k)
        expected.compare(model({schema.PRODUCT: catalogue.ids[block]}), catalogue)
    known = set(catalogue.ids.tolist())
    unknown = next(id_ for id_ in range(len(known) + 1) if id_ not in known)
    nothing = np.full((1, len(catalogue.ids)), -np.inf)
    expected = Expected(where, [f"product {unknown}, which is unknown"], nothing, np.zeros((1, 1)), k)
    expected.compare(model({schema.PRODUCT: np.array([unknown], np.int64)}), catalogue)
    return {"similar_products": len(chosen)}
