"""The configuration of a Vertex AI Vector Search index for a catalogue.

Fields: https://cloud.google.com/vertex-ai/docs/vector-search/configuring-indexes
"""

from typing import Any

FILE = "index.json"
NEIGHBOURS = 150  # that are found by approximate scores and then reordered by exact ones
LEAF = 1000  # products of a leaf, Vector Search's own default
SEARCHED = 10_000  # products whose approximate scores a query is to see, at least
LEAST_PERCENT = 10  # of the leaves, Vector Search's own default


def metadata(products: int, dimensions: int) -> dict[str, Any]:
    """The `metadata` of an Index resource, but for contentsDeltaUri, the place of the embeddings in a bucket.

    A small catalogue is searched through, which costs little; from 100,000 products on, a tenth of it.

    Args:
        products: N.
        dimensions: D.
    """
    percent = min(100, max(LEAST_PERCENT, -(-100 * SEARCHED // products)))
    return {
        "config": {
            "dimensions": dimensions,
            "approximateNeighborsCount": NEIGHBOURS,
            "distanceMeasureType": "DOT_PRODUCT_DISTANCE",
            "featureNormType": "NONE",
            "algorithmConfig": {
                "treeAhConfig": {"leafNodeEmbeddingCount": LEAF, "leafNodesToSearchPercent": percent},
            },
        }
    }
