"""Models with weights that are known, for what is carried from one to the next."""

from typing import Any

import numpy as np

from components.common import feature_config as fc
from trainer_image.model import Encoders, TwoTower

CONFIG = """
query:
  features:
    - {kind: id, name: cust_person_id, dim: 8}
    - {kind: numeric, name: revenue}
    - {kind: text, name: city, dim: 4}
  layers: [16, 8]
candidate:
  features:
    - {kind: id, name: product_id, dim: 8}
    - {kind: text, name: stratbuy_domain_desc, dim: 4}
    - {kind: cross, names: [stratbuy_domain_desc, mge_main_cat_desc], buckets: 20, dim: 4}
  layers: [16, 8]
"""
Vocabularies = dict[str, dict[str, Any]]


def build(config: str, vocabularies: Vocabularies, products: dict[str, dict[str, str]], seed: int) -> TwoTower:
    """A model without a zero, biases and row 0 included, so that every number shows where it came from."""
    paths = {"vocabularies": "vocabularies.json", "metadata": "metadata.json"}
    loaded = fc.load(config)
    model = TwoTower(loaded, Encoders(loaded, vocabularies, products, paths), 0.0)
    random = np.random.default_rng(seed)
    model.set_values([random.normal(size=value.shape).astype(np.float32) for value in model.get_values()])
    return model


def vocabulary(*tokens: str) -> dict[str, Any]:
    return {"tokens": list(tokens), "counts": [1] * len(tokens)}


def table(model: TwoTower, key: str) -> np.ndarray:
    """The rows as they are at the time of the call."""
    tables = {**model.query_tower.tables, **model.candidate_tower.tables}
    return np.array(tables[key].embeddings.numpy())


def rows(model: TwoTower, key: str, vocabularies: Vocabularies) -> dict[str, np.ndarray]:
    return dict(zip(vocabularies[key]["tokens"], table(model, key)[1:], strict=True))


def kernels(model: TwoTower) -> list[np.ndarray]:
    layers = [*model.query_tower.dense, *model.candidate_tower.dense]
    return [np.array(part.numpy()) for layer in layers for part in layer.weights]
