"""The page's households: the customers of a test split, what they bought before it and what they bought in it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from components.common import example_set, schema
from components.common.errors import InputError
from serving_image.rows import Column

HISTORY = ("train", "validation")
KINDS: dict[str, Callable[[Any], Any]] = {"string": bytes.decode, "int64": int, "float": float}


class Households:
    """Customers of the test split with their purchases.

    Args:
        folder: examples/ of the DataExtractor, or shards that nobody split, local or gs://.
        columns: The columns that the model asks for.

    Raises:
        InputError: not there, damaged, or without one of the columns.
    """

    def __init__(self, folder: str, columns: list[Column]):
        kinds = {column.name: column.kind for column in columns}
        if schema.CUSTOMER not in kinds:
            raise InputError(folder, f"a model without {schema.CUSTOMER}", "one that knows customers", "Leave it out.")
        with example_set.opened(folder) as examples:
            self.products = examples.products({})
            test = examples.part("test").read({**kinds, schema.PRODUCT: "int64", schema.TIMESTAMP: "int64"})
            who_bought = {schema.CUSTOMER: "string", schema.PRODUCT: "int64"}
            bought = [examples.part(split).read(who_bought) for split in HISTORY]
        order = np.argsort(test[schema.TIMESTAMP], kind="stable")
        # A household's columns are those of its first purchase of the test split: what is known when it comes.
        customers, first = np.unique(test[schema.CUSTOMER][order].astype(bytes), return_index=True)
        self._columns = {
            customer.decode(errors="replace"): {
                name: KINDS[kind](test[name][order[row]]) for name, kind in kinds.items()
            }
            for customer, row in zip(customers.tolist(), first.tolist(), strict=True)
        }
        self._history: dict[str, Counter[int]] = {customer: Counter() for customer in self._columns}
        self._next: dict[str, Counter[int]] = {customer: Counter() for customer in self._columns}
        for rows, counts in (*((part, self._history) for part in bought), (test, self._next)):
            names = [name.decode(errors="replace") for name in rows[schema.CUSTOMER]]
            for name, product in zip(names, rows[schema.PRODUCT].tolist(), strict=True):
                if name in counts:
                    counts[name][product] += 1

    def all(self) -> list[dict[str, Any]]:
        """[{"id", "purchases"}], the purchases before the test split; numbers in their order, then texts."""
        ids = sorted(self._columns, key=lambda name: (not name.isdecimal(), len(name) if name.isdecimal() else 0, name))
        return [{"id": name, "purchases": self._history[name].total()} for name in ids]

    def one(self, name: str) -> dict[str, Any] | None:
        """{"id", "columns", "history", "next"} of a household: products with name, category and count, most first."""
        if name not in self._columns:
            return None
        history, bought = (self._shown(counts[name]) for counts in (self._history, self._next))
        return {"id": name, "columns": self._columns[name], "history": history, "next": bought}

    def _shown(self, counts: Counter[int]) -> list[dict[str, Any]]:
        return [
            {
                "product_id": product,
                "name": self.products.get(str(product), {}).get(schema.NAME) or str(product),
                "category": self.products.get(str(product), {}).get(schema.CATEGORY) or "",
                "count": count,
            }
            for product, count in counts.most_common()
        ]
