"""The rows of one split."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from components.common import examples, splitting
from components.common.errors import InputError
from components.common.examples import BATCH, OURS, Remedies

if TYPE_CHECKING:
    import tensorflow as tf


class Part(NamedTuple):
    """Rows of local TFRecord files that are known to be whole.

    Attributes:
        where: What errors call them.
        files: The files.
        split: The split's name.
        is_filtered: Whether the files hold rows of other splits too, which are left out, see `splitting`.
        rows: How many there are, where metadata.json says it.
        remedies: What errors advise.
    """

    where: str
    files: Sequence[str]
    split: str = ""
    is_filtered: bool = False
    rows: int | None = None
    remedies: Remedies = OURS

    def dataset(self, columns: Mapping[str, str], batch: int = BATCH) -> "tf.data.Dataset":
        """Batches {column: tensor [<= batch]}, maybe empty ones; to be iterated inside of `explained`."""
        if not self.files:
            raise self.no_rows()
        return examples.dataset(list(self.files), columns, batch, self.split if self.is_filtered else "")

    def explained(self, columns: Mapping[str, str]) -> contextlib.AbstractContextManager[None]:
        """Turns TensorFlow's errors in reading these columns into an InputError."""
        read = {**columns, **splitting.KEY} if self.is_filtered else columns
        return examples.explained(list(self.files), read, self.remedies)

    def batches(self, columns: Mapping[str, str]) -> Iterator[dict[str, np.ndarray]]:
        """Batches {column: array [<= BATCH]}, none of them empty; strings are objects of type bytes.

        Raises:
            InputError: an Example without a column or with another type, or other rows than metadata.json says.
        """
        found = 0
        if self.files:
            with self.explained(columns):
                for batch in self.dataset(columns).as_numpy_iterator():
                    rows = len(next(iter(batch.values())))
                    found += rows
                    if rows:
                        yield batch
        self.expect_rows(found)

    def read(self, columns: Mapping[str, str]) -> dict[str, np.ndarray]:
        """All rows at once: {column: array [rows]}; InputError where there are none."""
        return examples.joined(self.where, list(self.batches(columns)), columns)

    def head(self, columns: Mapping[str, str], rows: int) -> dict[str, np.ndarray]:
        """The first rows; fewer where there are no more."""
        parts, found = list[dict[str, np.ndarray]](), 0
        for batch in self.batches(columns):
            parts.append(batch)
            found += len(next(iter(batch.values())))
            if found >= rows:
                break
        return {name: values[:rows] for name, values in examples.joined(self.where, parts, columns).items()}

    def expect_rows(self, found: int) -> None:
        """Raises InputError where so many rows were read and metadata.json says another number."""
        if self.rows not in (None, found):
            said = f"{found:,} rows in {len(self.files)} shards"
            raise InputError(self.where, said, f"{self.rows:,}, as metadata.json says", self.remedies.damage)

    def no_rows(self) -> InputError:
        """What to raise where rows are needed and there are none."""
        return InputError(self.where, "no rows", "at least one", "Use more data.")
