"""Raw columns to encoded features: strings become row numbers of a table, numbers are scaled.

Encoding is done once per run, before training, by the very layers that the exported models carry, so serving
cannot differ from training. One function per kind of the feature config; each returns an `Encoded`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.common import feature_config as fc
from components.common import schema
from components.common.vocabularies import require

CUSTOMERS = "#history"  # those that have one, among the vocabularies: no column has such a name

Columns = Mapping[str, tf.Tensor]


class Encoded(NamedTuple):
    """How one entry of the config is encoded.

    Attributes:
        call: Raw columns, each [B], to int32 [B] (a row of a table) or float32 [B, width].
        rows: Rows of the embedding table; 0 when the encoded values go into the tower as they are.
        dim: Width of the embedding; 0 without a table.
        state: The layer to save with the model, or None.
        basis: What its rows or columns stand for, to compare with an earlier model's: ("tokens", that of each row but
            row 0), ("boundaries", those between the rows), ("buckets", their number), ("periods", their names) or
            ("normalized", nothing).
    """

    call: Callable[[Columns], tf.Tensor]
    rows: int
    dim: int
    state: Any
    basis: tuple[str, np.ndarray]

    @property
    def width(self) -> int:
        """How many numbers it adds to the tower's input: a sine and a cosine for each period."""
        return self.dim or (2 * len(self.basis[1]) if self.basis[0] == "periods" else 1)


class Encoder(tf.Module):
    """All features of one tower: raw columns in, {feature key: encoded tensor} out."""

    def __init__(self, tower: fc.Tower, vocabularies: dict[str, dict[str, Any]], path: str):
        """Builds the lookups.

        Args:
            tower: One tower of the feature config.
            vocabularies: The features of vocabularies.json.
            path: Where that file came from, for errors.

        Raises:
            InputError: the vocabularies lack something that the tower uses.
        """
        super().__init__()
        self.columns = dict(tower.columns)
        self._encoded = {entry.key: _KINDS[entry.kind](entry, vocabularies, path) for entry in tower.features}
        for key, encoded in self._encoded.items():
            if encoded.basis[0] == "history":  # pooled embeddings, as wide as the tower's own
                self._encoded[key] = encoded._replace(dim=tower.layers[-1])
        self.states = [encoded.state for encoded in self._encoded.values() if encoded.state is not None]

    @property
    def tables(self) -> dict[str, tuple[int, int]]:
        """{feature key: (rows, dim)}; (0, 0) for features without a table."""
        return {key: (encoded.rows, encoded.dim) for key, encoded in self._encoded.items()}

    @property
    def widths(self) -> dict[str, int]:
        """{feature key: numbers that it adds to the tower's input}."""
        return {key: encoded.width for key, encoded in self._encoded.items()}

    @property
    def bases(self) -> dict[str, tuple[str, list[Any]]]:
        """{feature key: (kind, values)}, as `Encoded.basis` describes them."""
        return {key: (encoded.basis[0], encoded.basis[1].tolist()) for key, encoded in self._encoded.items()}

    def __call__(self, raw: Columns) -> dict[str, tf.Tensor]:
        return {key: encoded.call(raw) for key, encoded in self._encoded.items()}


def encode_tokens(entry: Any, vocabularies: dict[str, dict[str, Any]], path: str) -> Encoded:
    """`id` and `text`: StringLookup, index 0 for tokens that training did not see."""
    tokens = require(vocabularies, path, entry.name, "tokens")
    known, oov = set(tokens), "[UNK]"
    while oov in known:  # Keras would not number a token of that name
        oov = f"[{oov}]"
    lookup = keras.layers.StringLookup(vocabulary=tokens, oov_token=oov)

    def call(raw: Columns) -> tf.Tensor:
        column = raw[entry.name]
        return tf.cast(lookup(column if column.dtype == tf.string else tf.strings.as_string(column)), tf.int32)

    basis = ("tokens", np.array(tokens, object))  # an array, because TensorFlow would track every item of a list
    return Encoded(call, len(tokens) + 1, fc.resolve_dim(entry.dim, len(tokens)), lookup, basis)


def encode_numeric(entry: fc.NumericFeature, vocabularies: dict[str, dict[str, Any]], path: str) -> Encoded:
    """`numeric`: (x - mean) / sqrt(variance), or the quantile bucket that x falls into.

    Serving meets numbers that training never saw. NaN counts as the median of training, and a number beyond the range
    of training as its nearer end, infinity included: a tower was never taught what lies beyond, and every embedding
    stays finite. So a column that is constant in training says nothing, whatever it is later.
    """
    quantiles = np.array(require(vocabularies, path, entry.name, "quantiles"), np.float32)
    low, median, high = quantiles[[0, len(quantiles) // 2, -1]]

    def within(raw: Columns) -> tf.Tensor:
        column = raw[entry.name]
        return tf.clip_by_value(tf.where(tf.math.is_nan(column), median, column), low, high)

    if entry.transform == "normalize":
        mean = require(vocabularies, path, entry.name, "mean")
        deviation = math.sqrt(require(vocabularies, path, entry.name, "variance")) if high > low else math.inf

        def normalize(raw: Columns) -> tf.Tensor:
            # In float64: float32 could not hold the square of a large number, nor tell large ones from their mean.
            return tf.cast((tf.cast(within(raw), tf.float64) - mean) / deviation, tf.float32)[:, None]

        return Encoded(normalize, 0, 0, None, ("normalized", np.array([])))
    steps = range(1, entry.buckets)
    found = {quantiles[round(step * (len(quantiles) - 1) / entry.buckets)] for step in steps}
    boundaries = np.array(sorted(found - {low}), np.float32)  # nothing lies below the smallest

    def bucketize(raw: Columns) -> tf.Tensor:
        """As many as there are boundaries at or below x."""
        return tf.searchsorted(boundaries, within(raw), side="right")

    dim = fc.resolve_dim(entry.dim, len(boundaries) + 1)
    return Encoded(bucketize, len(boundaries) + 1, dim, None, ("boundaries", boundaries))


def encode_temporal(entry: fc.TemporalFeature, vocabularies: dict[str, dict[str, Any]], path: str) -> Encoded:
    """`temporal`: sine and cosine of the place in each period, from Unix seconds (UTC)."""

    def call(raw: Columns) -> tf.Tensor:
        place = calendar(raw[entry.name])
        angles = [2 * math.pi * tf.cast(place[p][0], tf.float32) / place[p][1] for p in entry.periods]
        return tf.stack([wave(angle) for angle in angles for wave in (tf.sin, tf.cos)], axis=1)

    return Encoded(call, 0, 0, None, ("periods", np.array(entry.periods)))


def encode_cross(entry: fc.CrossFeature, vocabularies: dict[str, dict[str, Any]], path: str) -> Encoded:
    """`cross`: HashedCrossing (tf.sparse.cross_hashed) of the raw columns."""
    layer = keras.layers.HashedCrossing(num_bins=entry.buckets)

    def call(raw: Columns) -> tf.Tensor:
        return tf.cast(layer(tuple(raw[name] for name in entry.names)), tf.int32)

    dim = fc.resolve_dim(entry.dim, entry.buckets)
    return Encoded(call, entry.buckets, dim, layer, ("buckets", np.array([entry.buckets])))


def encode_history(entry: fc.HistoryFeature, vocabularies: dict[str, dict[str, Any]], path: str) -> Encoded:
    """`history`: the customer's row, 0 for one without a history; `trainer_image.past` says who has one.

    Its width is that of the embeddings, which the tower says.
    """
    tokens = vocabularies.get(CUSTOMERS) or vocabularies.get(schema.CUSTOMER, {})
    customer = encode_tokens(fc.IdFeature(kind="id", name=schema.CUSTOMER), {schema.CUSTOMER: tokens}, path)
    return Encoded(customer.call, 0, 0, customer.state, ("history", np.array([])))


_KINDS: dict[str, Callable[..., Encoded]] = {
    "id": encode_tokens,
    "text": encode_tokens,
    "numeric": encode_numeric,
    "temporal": encode_temporal,
    "cross": encode_cross,
    "history": encode_history,
}


def calendar(seconds: tf.Tensor) -> dict[str, tuple[tf.Tensor, int]]:
    """Hour, weekday (Monday 0), day of month and month, each from 0, with the length of its period.

    Args:
        seconds: int64 [B], Unix seconds; the calendar is UTC.

    The civil date is Howard Hinnant's civil_from_days: https://howardhinnant.github.io/date_algorithms.html
    """
    days = seconds // 86_400
    shifted = days + 719_468  # days since 0000-03-01, the start of a 400-year era
    day_of_era = shifted % 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    return {
        "hour": (seconds % 86_400 // 3_600, 24),
        "weekday": ((days + 3) % 7, 7),
        "day_of_month": (day_of_year - (153 * month_from_march + 2) // 5, 31),
        "month": ((month_from_march + 2) % 12, 12),
    }
