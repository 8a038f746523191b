"""What approximate search with the release's index configuration misses, measured on the same vectors."""

from typing import Any

import numpy as np

from components.exporter import vector_index

KS = (10, 100)
MOST_QUERIES = 2_000
CODES = 16  # of two dimensions together: four bits
FEWEST = 39 * CODES  # products to learn codes from, below which Faiss warns
BLOCK_BYTES = 32 << 20


def measure(queries: np.ndarray, candidates: np.ndarray) -> dict[str, Any]:
    """The recall of approximate search against exact search by dot product.

    Vector Search itself is not to be had here; its like in Faiss is. Leaves are made by k-means, the nearest are
    searched by scores of four-bit codes of every two dimensions, and what is found is reordered by exact scores. What
    Faiss lacks is the loss that Vector Search's codes are learned with (https://arxiv.org/abs/1908.10396), so it misses
    rather more. Both searches are by dot products alone: vectors hold no own terms of a model with a history, which are
    added to what is found. A catalogue too small to learn codes from is searched exactly.

    Args:
        queries: float32 [U, D]; of more than MOST_QUERIES, some.
        candidates: float32 [N, D].

    Returns:
        {"library", "index", "queries", "recall_10", "recall_100"}: the mean share of the exact first k among the
        approximate first k; what scores as the exact kth does is as good. A k above N is left out.
    """
    import faiss

    index, description = _index(candidates)
    queries = queries[np.linspace(0, len(queries) - 1, min(len(queries), MOST_QUERIES)).astype(np.int64)]
    ks = [k for k in KS if k <= len(candidates)]
    hits = dict.fromkeys(ks, 0)
    columns = np.ascontiguousarray(candidates.T, np.float64)
    size = max(1, BLOCK_BYTES // columns[0].nbytes)
    for start in range(0, len(queries), size):
        block = np.ascontiguousarray(queries[start : start + size])
        exact = block.astype(np.float64) @ columns
        _, found = index.search(block, min(vector_index.NEIGHBOURS, len(candidates)))
        scores = np.where(found < 0, -np.inf, np.take_along_axis(exact, found, axis=1))
        scores = -np.sort(-scores, axis=1)
        for k in ks:
            least = np.partition(exact, -k, axis=1)[:, -k, None]
            hits[k] += int((scores[:, :k] >= least).sum())
    recalls = {f"recall_{k}": hits[k] / (k * len(queries)) for k in ks}
    return {"library": f"faiss {faiss.__version__}", "index": description, "queries": len(queries), **recalls}


def _index(candidates: np.ndarray) -> tuple[Any, str]:
    """The Faiss index with all candidates, and its description in Faiss's words."""
    import faiss

    products, width = candidates.shape
    index: Any
    candidates = np.ascontiguousarray(candidates)
    if products < FEWEST:
        index, description = faiss.IndexFlatIP(width), "Flat"
    else:
        tree = vector_index.metadata(products, width)["config"]["algorithmConfig"]["treeAhConfig"]
        leaves = max(1, round(products / tree["leafNodeEmbeddingCount"]))
        parts = width // 2 if width % 2 == 0 else width
        description = f"IVF{leaves},PQ{parts}x4fs"
        index = faiss.index_factory(width, description, faiss.METRIC_INNER_PRODUCT)
        index.train(candidates)
        index.nprobe = max(1, round(leaves * tree["leafNodesToSearchPercent"] / 100))
        description += f", nprobe {index.nprobe}, {vector_index.NEIGHBOURS} reordered"
    index.add(candidates)
    return index, description
