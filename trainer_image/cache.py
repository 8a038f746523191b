"""Arrays of the input: in memory while a budget lasts, then in files of a temporary folder, mapped into memory."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class Cache:
    """Hands out arrays and columns that grow, and keeps count of the memory they take."""

    def __init__(self, budget: int, folder: str):
        """Takes what may stay in memory, in bytes, and the folder for the rest."""
        self.budget, self.folder = budget, folder
        self.in_memory = self.on_disk = self.files = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array whose values are not set yet."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self.take(size) or not size:  # an empty file can't be mapped
            return np.empty(shape, dtype)
        return np.memmap(self.new_file(), dtype, "w+", shape=shape)

    def take(self, size: int) -> bool:
        """Counts `size` bytes as memory and says yes, or as disk and says no."""
        fits = self.in_memory + size <= self.budget
        if fits:
            self.in_memory += size
        else:
            self.on_disk += size
        return fits

    def release(self, array: np.ndarray) -> None:
        """Takes back what `empty` or a column handed out; the caller forgets the array."""
        if isinstance(array, np.memmap):
            self.on_disk -= array.nbytes
            os.unlink(str(array.filename))
        else:
            self.in_memory -= array.nbytes

    def new_file(self) -> str:
        self.files += 1
        return os.path.join(self.folder, f"{self.files}.bin")


@contextmanager
def opened(budget: int) -> Iterator[Cache]:
    """A cache whose files go when the block ends."""
    with tempfile.TemporaryDirectory(prefix="metro-recs-cache-") as folder:
        yield Cache(budget, folder)


class Column:
    """A column of unknown length: parts in memory, and all of it in a file once the budget is spent."""

    def __init__(self, cache: Cache):
        self.cache = cache
        self.parts: list[np.ndarray] = []
        self.rows = 0
        self.path = ""

    def append(self, part: np.ndarray) -> None:
        self.rows += len(part)
        self.shape, self.dtype = part.shape[1:], part.dtype
        if not self.path and self.cache.take(part.nbytes):
            self.parts.append(part)
            return
        if not self.path:
            self.path = self.cache.new_file()
            spilled = sum(kept.nbytes for kept in self.parts)
            self.cache.in_memory -= spilled
            self.cache.on_disk += spilled
        else:
            self.cache.on_disk += part.nbytes
        with open(self.path, "ab") as file:
            for kept in [*self.parts, part]:
                file.write(kept.tobytes())
        self.parts = []

    def array(self) -> np.ndarray:
        """Everything appended, [rows, ...]; the column is used up."""
        if self.path:
            return np.memmap(self.path, self.dtype, "r+", shape=(self.rows, *self.shape))
        whole = np.concatenate(self.parts)
        self.parts = []
        return whole
