"""`make bench-eval`: both contestants against a full sort in float64, and their comparison."""

import numpy as np
import pytest

from benchmarks import eval as bench
from benchmarks import eval_tfrs


@pytest.mark.parametrize("batch", [7, 64])
def test_both_contestants_rank_as_a_full_sort_does(batch: int) -> None:
    data = bench.drawn(candidates=220, queries=150)
    scores = data.queries.astype(np.float64) @ data.candidates.astype(np.float64).T
    place = np.argsort(np.argsort(-scores, axis=1), axis=1)[np.arange(150), data.target]
    expected = [np.mean(place < k) for k in bench.KS]
    assert len(set(expected)) == len(bench.KS)
    np.testing.assert_allclose(bench.ours(data).mean(axis=1), expected, rtol=0, atol=1e-12)
    peer = eval_tfrs.contestant(data.candidates, bench.KS, batch)
    for _ in range(2):  # a round starts from nothing
        np.testing.assert_allclose(peer(data.queries, data.target), expected, rtol=0, atol=1e-7)


def test_a_query_that_is_ranked_differently_is_noticed() -> None:
    recalls = np.array([0.1, 0.2, 0.3, 0.4])
    bench.agree(recalls, recalls + 1e-8)
    with pytest.raises(AssertionError, match="Recall"):
        bench.agree(recalls, recalls + np.array([0, 0, 0, 1 / bench.QUERIES]))
    with pytest.raises(AssertionError, match="Recall"):
        bench.agree(recalls, recalls * np.nan)
