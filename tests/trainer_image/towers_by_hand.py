"""Features and towers in NumPy float64, from raw rows, vocabularies and trained weights: an oracle for serving.

Only the hash of a cross is TensorFlow's, because it is the definition.
"""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import tensorflow as tf

PERIODS = ("hour", "weekday", "day_of_month", "month")
ERA = 146_097 * 86_400  # seconds in 400 years, after which the calendar repeats itself
Row = dict[str, Any]


def embed(config: dict[str, Any], vocabularies: dict[str, Any], tower: Any, row: Row) -> np.ndarray:
    """The embedding of one raw row, float64 [D].

    Args:
        config: One tower of the feature config, as JSON has it.
        vocabularies: The features of vocabularies.json.
        tower: A trained Tower, for its weights.
        row: {column: bytes, int or float}.
    """
    parts = []
    for entry in config["features"]:
        key, value = encode(entry, vocabularies, row)
        parts.append(tower.tables[key].embeddings.numpy()[value] if isinstance(value, int) else np.array(value))
    hidden = np.concatenate(parts).astype(np.float64)
    for i, layer in enumerate(tower.dense):
        hidden = hidden @ layer.kernel.numpy().astype(np.float64)
        hidden = hidden + (layer.bias.numpy().astype(np.float64) if layer.use_bias else 0)
        if i < len(tower.dense) - 1:
            hidden = np.maximum(hidden, 0)
    return hidden


def encode(entry: dict[str, Any], vocabularies: dict[str, Any], row: Row) -> tuple[str, int | list[float]]:
    """The feature's key, and the row of its table or its numbers."""
    if entry["kind"] == "cross":
        columns = [np.array([[row[name]]], object) for name in entry["names"]]
        crossed = tf.sparse.cross_hashed([tf.constant(column) for column in columns], num_buckets=entry["buckets"])
        return "_x_".join(entry["names"]), int(crossed.values.numpy()[0])
    name, value = entry["name"], row[entry["name"]]
    if entry["kind"] in ("id", "text"):
        text = value if isinstance(value, bytes) else str(value).encode()
        rows = {token.encode(): i for i, token in enumerate(vocabularies[name]["tokens"], start=1)}
        return name, rows.get(text, 0)
    if entry["kind"] == "temporal":
        moment = datetime.fromtimestamp(value % ERA, UTC)
        places = {
            "hour": moment.hour / 24,
            "weekday": moment.weekday() / 7,
            "day_of_month": (moment.day - 1) / 31,
            "month": (moment.month - 1) / 12,
        }
        angles = [2 * math.pi * places[period] for period in entry.get("periods", PERIODS)]
        return name, [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
    seen = vocabularies[name]
    number = float(np.float32(value))
    number = seen["quantiles"][50] if math.isnan(number) else number
    number = min(max(number, seen["quantiles"][0]), seen["quantiles"][100])
    if entry.get("transform", "normalize") == "normalize":
        if seen["quantiles"][0] == seen["quantiles"][100]:
            return name, [0.0]
        return name, [(float(np.float32(number)) - seen["mean"]) / math.sqrt(seen["variance"])]
    places_of_cuts = [round(step * 100 / entry["buckets"]) for step in range(1, entry["buckets"])]
    cuts = {np.float32(seen["quantiles"][place]) for place in places_of_cuts} - {np.float32(seen["quantiles"][0])}
    return f"{name}_bucket", sum(bool(cut <= np.float32(number)) for cut in cuts)
