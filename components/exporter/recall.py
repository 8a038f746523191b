"""Compares the Recall of a release with what the Evaluator measured."""

from typing import Any

import numpy as np

from components.common import ranking
from components.common.bootstrap import Bootstrap
from components.common.errors import InputError
from components.common.queries import Queries
from components.exporter.lists import OWN_TOLERANCE, TOLERANCE

FIGURES = "figures"
EXACT = 1e-12  # what the mean over rows may differ by
BLOCK_BYTES = 32 << 20


def compare(
    path: str,
    figures: dict[str, Any],
    queries: Queries,
    candidates: np.ndarray,
    query: np.ndarray,
    target: np.ndarray,
    customer: np.ndarray | None = None,
) -> dict[str, Any]:
    """Ranks every purchase as the Evaluator does.

    The figures are equal where both ran on one kind of machine. Another kind adds the towers' float32 sums up in
    another order, which may swap products whose scores differ by no more than rounding; so the Evaluator's figure must
    lie between what the release has where such products count as better and where they count as worse.

    Args:
        path: evaluation.json.
        figures: Its metrics.model: {"recall_10": {"value": …}, …}.
        queries, candidates: The release's: embeddings of U queries, perhaps with own terms, and float32 [N, D].
        query, target: int64 [R], of each purchase; the target may be NOT_IN_CATALOGUE.
        customer: int64 [R], of each purchase, as the Evaluator numbers them.

    Returns:
        {"recall_10": …, …, "max_recall_difference": …}; with customers also FIGURES, {"recall_10": {"value", "low",
        "high"}, …}, what the Evaluator says of this release.

    Raises:
        InputError: a figure that is missing, or not that of these embeddings.
    """
    recalls = {name: figure["value"] for name, figure in figures.items() if name.startswith("recall_")}
    if not recalls:
        again = "Run the Evaluator again."
        raise InputError(f"{path}, field metrics.model", "no Recall", "recall_K for some K", again)
    scores = ranking.embedding_scores(queries.embeddings, candidates, queries.own)
    better, tied = ranking.count_better(scores, query, target, candidates=len(candidates))
    hits = {name: ranking.recall(better, tied, int(name.removeprefix("recall_"))) for name in recalls}
    result: dict[str, Any] = {name: float(hit.mean()) for name, hit in hits.items()}
    differing = [name for name, measured in recalls.items() if not abs(measured - result[name]) <= EXACT]
    if differing:
        least, most, alike = _rounding(queries, candidates, query, target)
        for name in differing:
            k = int(name.removeprefix("recall_"))
            low, high = (float(ranking.recall(better, alike, k).mean()) for better in (most, least))
            if not low - EXACT <= recalls[name] <= high + EXACT:
                raise InputError(
                    f"{path}, field metrics.model.{name}.value",
                    repr(recalls[name]),
                    f"{result[name]!r}, the Recall of the release on the test split ({low!r} to {high!r}, as float32 "
                    "rounds)",
                    "Nothing is released. Run the Evaluator on this model and these examples.",
                )
    result["max_recall_difference"] = max(abs(measured - result[name]) for name, measured in recalls.items())
    if customer is not None:
        bootstrap = Bootstrap(int(customer.max()) + 1)
        result[FIGURES] = {name: bootstrap.mean(hit, customer).as_dict() for name, hit in hits.items()}
    return result


def _rounding(
    queries: Queries, candidates: np.ndarray, query: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fewest and the most products that may be better than each purchase's, and those that tie anyhow: int64 [R].

    Products with one embedding, and one own term or none, tie on every machine.
    """
    least = np.full(len(target), ranking.UNRANKED, np.int64)
    most, alike = least.copy(), np.zeros(len(target), np.int64)
    _, kind, count = np.unique(candidates, axis=0, return_inverse=True, return_counts=True)
    kind = kind.ravel()
    known = np.flatnonzero(target != ranking.NOT_IN_CATALOGUE)
    alike[known] = count[kind[target[known]]] - 1
    columns = candidates.T.astype(np.float64)
    longest = np.linalg.norm(columns, axis=0).max()
    size = max(1, BLOCK_BYTES // (8 * len(candidates)))
    for start in range(0, len(known), size):
        rows = known[start : start + size]
        left = queries.embeddings[query[rows]].astype(np.float64)
        exact = left @ columns
        margin = TOLERANCE * longest * np.linalg.norm(left, axis=1, keepdims=True)
        if queries.own is not None:
            queries.own.add(exact, query[rows])
            margin += OWN_TOLERANCE * queries.own.largest(query[rows])[:, None]
            terms = np.zeros(exact.shape)
            queries.own.add(terms, query[rows])
            own_term = np.take_along_axis(terms, target[rows, None], axis=1)
            like = (kind == kind[target[rows], None]) & (terms == own_term)
            alike[rows] = like.sum(axis=1) - 1
        own = np.take_along_axis(exact, target[rows, None], axis=1)
        least[rows] = (exact > own + margin).sum(axis=1)
        most[rows] = (exact >= own - margin).sum(axis=1) - 1 - alike[rows]  # without the purchase's own and its like
    return least, most, alike
