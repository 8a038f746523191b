"""Counts the values of columns, in TensorFlow: of those in a batch only the distinct ones come into Python."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from components.common import progress
from components.common.accumulator import Accumulator
from components.common.example_part import Part
from components.common.feature_config import FeatureConfig, IdFeature, NumericFeature, TextFeature
from components.common.schema import CUSTOMER, EXAMPLE, PRODUCT

if TYPE_CHECKING:
    import tensorflow as tf

BATCH = 32_768  # rows: the larger, the fewer distinct values there are in all batches together


def columns_of(config: FeatureConfig) -> dict[str, str]:
    """The columns that need a vocabulary or statistics, with their types; customer and product always do."""
    columns: dict[str, str] = {name: EXAMPLE[name] for name in (CUSTOMER, PRODUCT)}
    for feature in config.entries():
        if isinstance(feature, IdFeature | TextFeature | NumericFeature):
            columns.update(feature.columns)
    return columns


def count(part: Part, columns: Mapping[str, str]) -> Accumulator:
    """The value histograms of some rows.

    Raises:
        InputError: a column is missing, or of another type.
    """
    accumulator = Accumulator(columns)
    with part.explained(columns):
        for rows, found in _counted(part, columns):
            accumulator.add(int(rows), found)
            progress.advance(int(rows))
    return accumulator


def _counted(part: Part, columns: Mapping[str, str]) -> Iterator[Any]:
    """Rows of every batch, and {column: (distinct values, how often each occurs)}."""
    from components.common.bare_tensorflow import tf

    @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and looking for it takes its time
    def counted(batch: dict[str, "tf.Tensor"]) -> tuple["tf.Tensor", dict[str, tuple["tf.Tensor", "tf.Tensor"]]]:
        distinct = {name: tf.unique_with_counts(values) for name, values in batch.items()}
        rows = tf.size(next(iter(batch.values())))
        return rows, {name: (found.y, found.count) for name, found in distinct.items()}

    yield from part.dataset(columns, BATCH).map(counted, num_parallel_calls=2).prefetch(2).as_numpy_iterator()


def features(counted: Accumulator) -> dict[str, dict[str, Any]]:
    """Of every column what vocabularies.json says: tokens with counts, or statistics of numbers."""
    return {
        name: counted.statistics(name) if kind == "float" else counted.tokens(name)
        for name, kind in sorted(counted.columns.items())
    }
