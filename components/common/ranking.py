"""Exact ranks over a whole catalogue: how many candidates score better than the one in question.

Nothing is sampled or cut at k: one pass yields the rank of every row, and from it Recall at any k.
Ties are reported, not broken, so a scorer that gives everything the same score earns what chance earns.
"""

from collections.abc import Callable

import numpy as np

from components.common import counting
from components.common.dot_products import DotProducts
from components.common.errors import InputError
from components.common.own_scores import OwnScores
from components.common.own_terms import OwnTerms

BLOCK_BYTES = 32 << 20
CACHE_BYTES = 2 << 20  # scores that are compared again and again, few enough to stay in a core's cache
UNRANKED = np.int64(2**62)  # better candidates than any catalogue holds: a row that no k can hit
NOT_IN_CATALOGUE = -1

ScoreBlock = Callable[[slice], np.ndarray]


def embedding_scores(
    query_embeddings: np.ndarray, candidate_embeddings: np.ndarray, own: OwnTerms | None = None
) -> DotProducts:
    """Dot products, perhaps with own terms, as a score block for `count_better`.

    It counts them in float32 as far as that is exact.

    Args:
        query_embeddings: [U, D].
        candidate_embeddings: [N, D].
        own: Terms of the U queries, of a model with a history.

    Returns:
        A function from a slice of the queries to their scores, float32 [b, N].

    Raises:
        InputError: the widths differ.
    """
    if query_embeddings.shape[1] != candidate_embeddings.shape[1]:
        raise InputError(
            "the towers",
            f"query embeddings {query_embeddings.shape[1]} wide, candidate embeddings {candidate_embeddings.shape[1]}",
            "one width",
            "Train both towers with one feature config.",
        )
    if own is not None:
        return OwnScores(query_embeddings, candidate_embeddings, own)
    return DotProducts(query_embeddings, candidate_embeddings)


def count_better(
    score_block: ScoreBlock,
    query_index: np.ndarray,
    target: np.ndarray,
    *,
    candidates: int,
    block_rows: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks each row's target among all candidates of its query.

    Rows may come in any order; every query is scored once, however many rows ask for it.

    Args:
        score_block: From a slice of the queries [b] to their scores [b, N], all finite; see `embedding_scores`.
        query_index: int [R], the query of each row.
        target: int [R], the candidate of each row; NOT_IN_CATALOGUE for one that cannot be recommended.
        candidates: N.
        block_rows: Queries to score at a time; by default as many as keep a block near BLOCK_BYTES.

    Returns:
        better, tied: int64 [R]. How many candidates score above the target, and how many others equal it.
        A target that is not in the catalogue has UNRANKED better ones.

    Raises:
        InputError: a score that is NaN or infinite.
    """
    better = np.full(len(target), UNRANKED, np.int64)
    tied = np.zeros(len(target), np.int64)
    known = np.flatnonzero(target != NOT_IN_CATALOGUE)
    if not len(known):
        return better, tied
    queries = int(query_index[known].max()) + 1
    pairs = np.ravel_multi_index((query_index[known], target[known]), (queries, candidates))
    pairs, pair_of_row = np.unique(pairs, return_inverse=True)
    query, target = np.divmod(pairs, candidates)
    if isinstance(score_block, DotProducts) and score_block.countable:
        counts = score_block.count(query, target, block_rows)
    else:
        block_rows = block_rows or max(1, BLOCK_BYTES // (8 * candidates))
        counts = np.empty((2, len(pairs)), np.int64)
        for start in range(0, queries, block_rows):
            stop = min(start + block_rows, queries)
            first, last = np.searchsorted(query, [start, stop])
            if first == last:
                continue
            scores = score_block(slice(start, stop))
            expect_finite(scores, start)
            counts[:, first:last] = _count_pairs(scores, query[first:last] - start, target[first:last])
    better[known], tied[known] = counts[0, pair_of_row], counts[1, pair_of_row]
    return better, tied


def recall(better: np.ndarray, tied: np.ndarray, k: int) -> np.ndarray:
    """The chance that each row's target is among the first k when ties are broken at random.

    With b better and t tied candidates the target takes each of the places b + 1 .. b + t + 1 with equal chance.
    The mean over rows is Recall@k with one relevant product per row.

    Args:
        better, tied: int64 [R], from `count_better`.
        k: How many recommendations are shown.

    Returns:
        float64 [R], each in [0, 1].
    """
    return np.clip((k - better) / (tied + 1), 0.0, 1.0)


def _count_pairs(scores: np.ndarray, query: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Better and tied candidates of distinct pairs, int64 [2, P].

    Args:
        scores: [b, N].
        query: int64 [P], ascending.
        target: int64 [P].
    """
    own = scores[query, target]
    found = np.empty((2, len(own)), np.int64)
    asked = counting.asked(query)
    few = max(1, CACHE_BYTES // scores[0].nbytes)
    for start in range(0, len(asked.query), few):
        part = asked.part(start, start + few)
        for _, pair, above, at_least in counting.counts(scores[part.query], part, own, own):
            found[:, pair] = above, at_least - above - 1
    return found


def expect_finite(scores: np.ndarray, start: int) -> None:
    """Raises InputError where a score [b, N] is NaN or infinite; `start` is the number of the first query."""
    if np.isfinite(scores.min()) and np.isfinite(scores.max()):
        return
    query, candidate = np.argwhere(~np.isfinite(scores))[0]
    raise InputError(
        f"score of query {start + query} and candidate {candidate}",
        str(scores[query, candidate]),
        "a finite number",
        "Check the model: its training may have diverged.",
    )
