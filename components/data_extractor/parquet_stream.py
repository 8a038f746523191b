"""Streams of the rows that ParquetSource has stored, joined with their products on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from components.common import schema

pc: Any = pyarrow.compute  # pyarrow's type stubs know too little of its kernels

BATCH = 32_768  # rows of a row group, of a batch, and so of a gzip member; a multiple of DuckDB's 2,048


@dataclass(frozen=True)
class ParquetStream:
    """Some row groups of the stored result.

    The product's columns are joined here and not in the query: sorting rows without them takes half the time, and
    most of their texts need not be copied row by row.
    """

    path: str
    row_groups: tuple[int, ...]
    columns: tuple[str, ...]
    products: str

    def read(self) -> Iterator[pa.RecordBatch]:
        stored = pq.read_schema(self.path)
        own = [name for name in self.columns if name in stored.names]
        products = Products(self.products, [name for name in self.columns if name not in stored.names])
        texts = [field.name for field in stored if pa.types.is_string(field.type)]
        # Texts as dictionaries, as they are stored: most of them repeat within a batch.
        with pq.ParquetFile(self.path, read_dictionary=texts) as file:
            columns = list(dict.fromkeys([*own, schema.PRODUCT, "dropped"]))
            for batch in file.iter_batches(BATCH, row_groups=list(self.row_groups), columns=columns):
                dropped = batch["dropped"]
                kept = batch if dropped.null_count == len(dropped) else batch.filter(dropped.is_null())
                found = {name: kept[name] for name in own} | products.columns(kept)
                yield pa.RecordBatch.from_pydict({name: found[name] for name in self.columns})


class Products:
    """The product table in memory, to be joined with batches of purchases.

    Args:
        path: Its Parquet file, each product once.
        names: The columns to join.
    """

    def __init__(self, path: str, names: list[str]):
        table: Any = pq.read_table(path, columns=[schema.PRODUCT, *names]).sort_by(schema.PRODUCT).combine_chunks()
        self.ids = table[schema.PRODUCT].to_numpy()
        self.table = {name: table[name].combine_chunks() for name in names}
        for name, column in self.table.items():
            if pa.types.is_string(column.type):
                self.table[name] = column.dictionary_encode()

    def columns(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """The joined columns of a batch, whose products are all in the table."""
        if not self.table:
            return {}
        place = pa.array(np.searchsorted(self.ids, batch[schema.PRODUCT].to_numpy()))
        return {name: _used(column.take(place)) for name, column in self.table.items()}


def _used(column: Any) -> Any:
    """The same with a dictionary of no more values than the column has: a catalogue may have a million."""
    if not pa.types.is_dictionary(column.type):
        return column
    codes = pc.dictionary_encode(column.indices)
    return pa.DictionaryArray.from_arrays(codes.indices, column.dictionary.take(codes.dictionary))
