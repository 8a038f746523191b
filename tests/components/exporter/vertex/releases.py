"""Releases like the Exporter's, but for a SavedModel that is none: what the registry and the index get to see."""

import hashlib
import json
from pathlib import Path
from typing import Any

from components.common.release import FORMAT_VERSION

YES = {"promote": True, "reasons": [{"rule": "coverage", "passed": True, "text": "All of it."}]}
NO = {
    "promote": False,
    "reasons": [
        {"rule": "coverage", "passed": True, "text": "All of it."},
        {"rule": "baseline", "passed": False, "text": "Recall@100 .31 is below popularity's .35."},
    ],
}
METRICS = {"recall_10": {"value": 0.186, "low": 0.18, "high": 0.19}, "recall_100": {"value": 0.456}, "mrr": 0.1}


def write(folder: Path, model_version: str = "v1", products: int = 3, dimensions: int = 2, **changes: Any) -> str:
    """Writes a release; `changes` replace keys of release.json."""
    (folder / "saved_model").mkdir(parents=True)
    (folder / "embeddings").mkdir()
    (folder / "saved_model/saved_model.pb").write_bytes(model_version.encode())
    lines = [json.dumps({"id": str(product), "embedding": [0.5] * dimensions}) for product in range(products)]
    (folder / "embeddings/embeddings.json").write_text("\n".join(lines) + "\n")
    config = {
        "dimensions": dimensions,
        "approximateNeighborsCount": 100,
        "distanceMeasureType": "DOT_PRODUCT_DISTANCE",
        "featureNormType": "NONE",
        "algorithmConfig": {"treeAhConfig": {"leafNodeEmbeddingCount": "1000"}},
    }
    (folder / "index.json").write_text(json.dumps({"config": config}))
    files = {
        path.relative_to(folder).as_posix(): {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    document = {
        "format_version": FORMAT_VERSION,
        "model_version": model_version,
        "model": "gs://bucket/model",
        "verdict": YES,
        "metrics": METRICS,
        "embeddings": {"products": products, "dimensions": dimensions},
        "files": files,
        **changes,
    }
    (folder / "release.json").write_text(json.dumps(document))
    return str(folder)
