"""Exact ranks over a whole catalogue: how many candidates score better than the one in question.

Nothing is sampled or cut at k: one pass yields the rank of every row, and from it Recall at any k.
Ties are reported, not broken, so a scorer that gives everything the same score earns what chance earns.
"""

from collections.abc import Callable

import numpy as np

from components.common.errors import InputError

BLOCK_BYTES = 32 << 20
CACHE_BYTES = 2 << 20  # scores that are compared again and again, few enough to stay in a core's cache
# Sorting N scores takes log2(N) comparisons each, counting the better ones takes one for each target. As measured,
# sorting is cheaper from 13 targets on for 1,500 candidates and 20 for 30,000 where NumPy sorts with AVX2; from 20 and
# 80 on an AMD EPYC with AVX-512.
SORT_FROM = 2.0  # times log2(N), the targets above which a query is sorted
UNRANKED = np.int64(2**62)  # better candidates than any catalogue holds: a row that no k can hit
NOT_IN_CATALOGUE = -1

ScoreBlock = Callable[[slice], np.ndarray]


def embedding_scores(query_embeddings: np.ndarray, candidate_embeddings: np.ndarray) -> ScoreBlock:
    """Dot products as a score block for `count_better`.

    Products and sums are float64 and the result is rounded to float32. A BLAS kernel may add up the columns of
    one product in different orders, so equal vectors can differ in the last bits of the sum; rounding those
    bits away lets equal candidates tie on every machine, as they should.

    Args:
        query_embeddings: [U, D].
        candidate_embeddings: [N, D].

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
    queries = query_embeddings.astype(np.float64)
    candidates = np.ascontiguousarray(candidate_embeddings.T, dtype=np.float64)
    return lambda block: (queries[block] @ candidates).astype(np.float32)


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
    counts = np.empty((2, len(pairs)), np.int64)
    block_rows = block_rows or max(1, BLOCK_BYTES // (8 * candidates))
    for start in range(0, queries, block_rows):
        stop = min(start + block_rows, queries)
        first, last = np.searchsorted(pairs, [start * candidates, stop * candidates])
        if first == last:
            continue
        scores = score_block(slice(start, stop))
        _check_finite(scores, start)
        counts[:, first:last] = _count_pairs(scores, *np.divmod(pairs[first:last] - start * candidates, candidates))
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

    A query with many targets is sorted; those with few are counted, the nth target of every query together.

    Args:
        scores: [b, N].
        query: int64 [P], ascending.
        target: int64 [P].
    """
    own = scores[query, target]
    counts = np.empty((2, len(own)), np.int64)
    first = np.flatnonzero(np.diff(query, prepend=-1))
    targets = np.diff(first, append=len(query))
    order = np.argsort(-targets)  # then the queries that have an nth target are always the first few
    first, targets = first[order], targets[order]
    asked = query[first]
    many = np.count_nonzero(targets > SORT_FROM * np.log2(scores.shape[1]))
    for i in range(many):
        pairs = slice(first[i], first[i] + targets[i])
        counts[:, pairs] = _by_sorting(scores[asked[i]], own[pairs])
    few = max(1, CACHE_BYTES // scores[0].nbytes)
    for start in range(many, len(asked), few):
        part = slice(start, start + few)
        of_query = scores[asked[part]]
        for nth in range(targets[start]):
            nths = first[part][targets[part] > nth] + nth
            counts[:, nths] = _by_counting(of_query[: len(nths)], own[nths])
    return counts


def _by_sorting(scores: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Better and tied candidates of one query [N], for each of its targets' scores [m]."""
    ascending = np.sort(scores)
    up_to = ascending.searchsorted(own, "right")
    return len(scores) - up_to, up_to - ascending.searchsorted(own, "left") - 1


def _by_counting(scores: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Better and tied candidates of several queries [b, N], for one target's score of each [b]."""
    return _count_true(np.greater, scores, own), _count_true(np.equal, scores, own) - 1


def _count_true(compare: np.ufunc, scores: np.ndarray, own: np.ndarray) -> np.ndarray:
    """How many scores of each row [b, N] compare true with the row's own [b]: int64 [b].

    Flags are added eight at a time, as the bytes of one integer, in parts whose sums still fit a byte. It takes a
    seventh of the time of `np.count_nonzero` with an axis.
    """
    rows, candidates = scores.shape
    parts = -(-candidates // (255 * 8))
    words = -(-candidates // (parts * 8))
    flags = np.zeros((rows, parts * words * 8), np.bool_)
    compare(scores, own[:, None], out=flags[:, :candidates])
    sums = flags.view(np.uint64).reshape(rows, parts, words).sum(axis=2)
    return sums.view(np.uint8).sum(axis=1, dtype=np.int64)


def _check_finite(scores: np.ndarray, start: int) -> None:
    if np.isfinite(scores.min()) and np.isfinite(scores.max()):
        return
    query, candidate = np.argwhere(~np.isfinite(scores))[0]
    raise InputError(
        f"score of query {start + query} and candidate {candidate}",
        str(scores[query, candidate]),
        "a finite number",
        "Check the model: its training may have diverged.",
    )
