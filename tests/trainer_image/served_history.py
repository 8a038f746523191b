"""Asks the SavedModels of a model with a history."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

CONFIG = "feature_config_history.yaml"


def signature(folder: Path, name: str) -> Any:
    loaded = tf.saved_model.load(str(folder / name))
    call = loaded.signatures["serving_default"]
    call.kept = loaded
    return call


NOTHING = {"history_products": np.zeros((1, 0), np.int64), "history_ages": np.zeros((1, 0), np.float32)}


def asked(call: Any, customers: list[str], **given: np.ndarray) -> dict[str, np.ndarray]:
    raw = {"cust_person_id": np.array(customers, object), **NOTHING, **given}
    return {name: value.numpy() for name, value in call(**{k: tf.constant(v) for k, v in raw.items()}).items()}


def own(answer: dict[str, np.ndarray], row: int) -> dict[int, float]:
    pairs = zip(answer["own_products"][row].tolist(), answer["own_scores"][row].tolist(), strict=True)
    return {product: score for product, score in pairs if product != -1}
