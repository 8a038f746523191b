"""How often every value of every column occurs: fed by batches, merged over shards, summed up at the end."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from components.common.errors import InputError

ARROW_TYPES: dict[str, pa.DataType] = {"string": pa.binary(), "int64": pa.int64(), "float": pa.float32()}
PENDING_ROWS = 1_000_000  # counted values that may wait before equal ones are put together


class Accumulator:
    """The value histogram of each column. Everything in vocabularies.json follows from it exactly.

    Args:
        columns: Column name to type ("string", "int64" or "float").
    """

    def __init__(self, columns: Mapping[str, str]):
        self.columns = dict(columns)
        self.rows = 0
        self._counted: dict[str, list[pa.Table]] = {name: [] for name in columns}

    def add(self, rows: int, counted: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Takes in a batch of `rows` rows: {column: (values [V], how often each occurs in the batch [V])}."""
        self.rows += rows
        for name, kind in self.columns.items():
            values, counts = counted[name]
            self._keep(name, pa.table({"value": pa.array(values, ARROW_TYPES[kind]), "count": counts.astype(np.int64)}))

    def merge(self, other: "Accumulator") -> None:
        self.rows += other.rows
        for name in self.columns:
            self._keep(name, other.histogram(name))

    def histogram(self, name: str) -> pa.Table:
        """The distinct values of a column with their counts: {"value", "count"}, in no order."""
        pending = self._counted[name]
        if len(pending) > 1:
            grouped = pa.concat_tables(pending).group_by("value").aggregate([("count", "sum")])
            self._counted[name] = [grouped.rename_columns({"count_sum": "count"})]
        elif not pending:
            return pa.table({"value": pa.array([], ARROW_TYPES[self.columns[name]]), "count": pa.array([], pa.int64())})
        return self._counted[name][0]

    def _keep(self, name: str, counted: pa.Table) -> None:
        pending = self._counted[name]
        pending.append(counted)
        # The first entry is what was put together before: it may be large without anything to gain.
        if sum(table.num_rows for table in pending[1:]) > max(PENDING_ROWS, pending[0].num_rows):
            self.histogram(name)

    def tokens(self, name: str) -> dict[str, list[Any]]:
        """The values as text with their counts, most frequent first, then by text.

        Raises:
            InputError: bytes that are not UTF-8.
        """
        histogram = self.histogram(name)
        try:
            tokens = histogram["value"].cast(pa.string())
        except pa.ArrowInvalid as error:
            remedy = "Correct the source of the Examples, and write them again."
            raise InputError(f"column {name}", f"bytes that are not UTF-8 ({error})", "UTF-8", remedy) from None
        table = pa.table({"token": tokens, "count": histogram["count"]})
        ordered = table.sort_by([("count", "descending"), ("token", "ascending")])
        return {"tokens": ordered["token"].to_pylist(), "counts": ordered["count"].to_pylist()}

    def statistics(self, name: str) -> dict[str, Any]:
        """Count, mean, population variance, extremes and the 101 percentiles of a numeric column, in float64.

        Raises:
            InputError: NaN or infinity among the values.
        """
        histogram = self.histogram(name).sort_by("value")
        values = histogram["value"].to_numpy().astype(np.float64)
        counts = histogram["count"].to_numpy()
        if not np.isfinite(values).all():
            found = f"{counts[~np.isfinite(values)].sum()} rows with NaN or infinity"
            remedy = "Correct the source of the Examples, and write them again."
            raise InputError(f"column {name}", found, "finite numbers", remedy)
        rows = int(counts.sum())
        mean = float(values @ counts / rows)
        return {
            "count": rows,
            "mean": mean,
            "variance": float(np.square(values - mean) @ counts / rows),
            "min": float(values[0]),
            "max": float(values[-1]),
            "quantiles": quantiles(values, counts, np.arange(101) / 100).tolist(),
        }


def merged(accumulators: Iterable[Accumulator], columns: Mapping[str, str]) -> Accumulator:
    """One accumulator of all; an empty one of none, as when Beam combines an empty bundle."""
    total = Accumulator(columns)
    for accumulator in accumulators:
        total.merge(accumulator)
    return total


def quantiles(values: np.ndarray, counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """numpy.quantile(numpy.repeat(values, counts), shares) without the repetition: linear interpolation.

    Args:
        values: Distinct values, ascending [V].
        counts: How often each occurs [V].
        shares: Between 0 and 1 [Q].
    """
    last_place = np.cumsum(counts) - 1
    place = shares * last_place[-1]
    below = np.floor(place)
    low, high = (values[np.searchsorted(last_place, p)] for p in (below, np.ceil(place)))
    return low + (high - low) * (place - below)
