"""What model_metadata.json says of a model. Every value was measured in this run; what was not is absent.

`architecture`, `embedding_dims`, `product_metadata`, `metrics` and `metadata_impact` have the names and kinds of values
that programs which read earlier trainers' files expect; what there is to say beyond them has keys of its own.
"""

import hashlib
import json
from typing import Any

import numpy as np
import tensorflow as tf

from components.common import feature_config as fc
from components.common import schema
from trainer_image.model import TwoTower

ARCHITECTURE = "two-tower"
ENTITIES = {  # as embedding_dims calls what has an embedding
    "customer": schema.CUSTOMER,
    "product": schema.PRODUCT,
    "category": schema.CATEGORY,
    "subcategory": schema.SUBCATEGORY,
    "city": "city",
}


def describe(
    model: TwoTower,
    config: fc.FeatureConfig,
    products: dict[str, dict[str, Any]],
    *,
    hyperparameters: dict[str, Any],
    metrics: dict[str, Any],
    training: dict[str, Any],
) -> dict[str, Any]:
    """The document, ready for model_metadata.json.

    Args:
        model: The trained model.
        config: Its feature config.
        products: The product lookup of metadata.json.
        hyperparameters: What the training was told, beyond the config.
        metrics: Recall on validation and test, and the best epoch.
        training: Rows, chance loss, the curve and the time it took.
    """
    return {
        "model_version": version(model),
        "architecture": ARCHITECTURE,
        "towers": towers(config, model),
        "hyperparameters": {
            "embedding_dims": embedding_dims(model),
            "product_metadata": product_metadata(config, model, products),
            **hyperparameters,
        },
        "metrics": metrics,
        "training": training,
        "feature_config": config.model_dump(mode="json"),
        "catalogue": model.catalogue,
    }


def version(model: TwoTower) -> str:
    """Twelve hex digits of all that the model answers by: its weights, what their rows stand for, and its history.

    Equal models have equal versions.
    """
    bases = {
        **model.query_encoder.bases,
        **{f"candidate {key}": base for key, base in model.candidate_encoder.bases.items()},
    }
    digest = hashlib.sha256(json.dumps([model.catalogue, bases], ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if model.history is not None:
        for column in (model.history.starts, model.history.place, model.history.age):
            digest.update(np.ascontiguousarray(column).data)
    for value in model.get_values():
        digest.update(value.tobytes())
    if model.repeats is not None:
        for weight in model.repeats.everything:
            digest.update(weight.numpy().tobytes())
    return digest.hexdigest()[:12]


def towers(config: fc.FeatureConfig, model: TwoTower) -> dict[str, Any]:
    """Their sizes; `tables` are the widths of all embeddings by feature, those of crosses and buckets too."""
    return {
        "query_layers": list(config.query.layers),
        "candidate_layers": list(config.candidate.layers),
        "tables": _widths(model),
        "parameters": sum(int(tf.size(variable)) for variable in model.weights),
        "products": len(model.catalogue),
    }


def embedding_dims(model: TwoTower) -> dict[str, str]:
    """{"customer": "64D", …} of those of ENTITIES that the model embeds."""
    widths = _widths(model)
    return {entity: f"{widths[column]}D" for entity, column in ENTITIES.items() if column in widths}


def _widths(model: TwoTower) -> dict[str, int]:
    tables = {**model.query_encoder.tables, **model.candidate_encoder.tables}
    return {key: dim for key, (rows, dim) in tables.items() if rows}


def product_metadata(config: fc.FeatureConfig, model: TwoTower, products: dict[str, dict[str, Any]]) -> dict[str, int]:
    """How many features both towers have, and distinct values the catalogue has of each metadata column."""

    def distinct(column: str) -> int:
        return len({products[product].get(column) for product in model.catalogue})

    return {
        "total_features": len(list(config.entries())),
        "categories": distinct(schema.CATEGORY),
        "subcategories": distinct(schema.SUBCATEGORY),
        "product_names": distinct(schema.NAME),
    }
