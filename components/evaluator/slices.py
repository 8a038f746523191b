"""The parts of the split that are looked at by themselves."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from components.common import schema
from components.common.evaluation import FEWEST_CUSTOMERS
from components.common.ranking import NOT_IN_CATALOGUE
from components.evaluator.data import Split
from components.evaluator.inputs import Inputs
from components.evaluator.scoring import popularity_tenth

LARGEST = 12  # categories and cities that are listed by name
OTHERS = "(others)"  # the name of the slice of all that are not listed
FEWEST_ROWS = 100  # below, an interval is too rough to lean on, as it is below FEWEST_CUSTOMERS
FEW, SOME = 5, 20  # training purchases, of a customer or a product

GROUPS = {
    "history": "By whether the customer had bought the product before",
    "customers": "By the customer's training purchases",
    "products": "By the product's training purchases",
    "popularity": "By the product's popularity, tenths of the catalogue",
    "category": "By category",
    "city": "By city",
}


class Slice(NamedTuple):
    """Some of the split's rows."""

    group: str
    name: str
    label: str
    rows: np.ndarray  # int64, row numbers
    customers: int  # that they are of

    @property
    def small(self) -> bool:
        """Too small to lean on: the bootstrap of a few customers knows only these few."""
        return len(self.rows) < FEWEST_ROWS or self.customers < FEWEST_CUSTOMERS

    @property
    def key(self) -> str:
        """How a floor names it."""
        return f"{self.group}.{self.name}"


def cut(found: Inputs, named: Iterable[str] = ()) -> list[Slice]:
    """All slices, empty ones among them; those of a group do not overlap, and together they hold every row.

    Args:
        found: The rows.
        named: Keys of categories and cities that are cut by name even where they are not among the largest.
    """
    split, history, target, sold = found.split, found.history, found.target, found.sold
    bought = found.totals[split.customer]
    known = target != NOT_IN_CATALOGUE
    times_sold = np.where(known, sold[target], 0)
    tenth = np.where(known, popularity_tenth(sold)[target], -1)
    categories, category = _categories(split, found.products)
    cuts = [
        ("history", "repeat", "repeat purchases", history.repeat),
        ("history", "explore", "products new to the customer", ~history.repeat),
        ("customers", "unseen", "customers not in training", bought == 0),
        ("customers", "few", f"customers with 1 to {FEW}", (bought >= 1) & (bought <= FEW)),
        ("customers", "some", f"customers with {FEW + 1} to {SOME}", (bought > FEW) & (bought <= SOME)),
        ("customers", "many", f"customers with more than {SOME}", bought > SOME),
        ("products", "unseen", "products not in training", times_sold == 0),
        ("products", "rare", f"products sold 1 to {SOME} times", (times_sold >= 1) & (times_sold <= SOME)),
        ("products", "common", "products sold more often", times_sold > SOME),
        *(("popularity", str(i + 1), _tenth(i), tenth == i) for i in range(10)),
        ("popularity", "none", "outside the catalogue", tenth == -1),
    ]
    cuts += _largest("category", categories, category, named)
    if len(split.cities):
        cities = [city.decode(errors="backslashreplace") for city in split.cities]
        cuts += _largest("city", cities, split.city, named)
    return [
        Slice(group, name, label, np.flatnonzero(rows), len(np.unique(split.customer[rows])))
        for group, name, label, rows in cuts
    ]


def _tenth(number: int) -> str:
    return {0: "the most-bought tenth", 9: "the least-bought tenth"}.get(number, f"tenth {number + 1} of the catalogue")


def _categories(split: Split, products: dict[str, dict[str, Any]]) -> tuple[list[str], np.ndarray]:
    """The categories there are, and that of every row."""
    ids, product = np.unique(split.product, return_inverse=True)
    of_product = [str(products.get(str(number), {}).get(schema.CATEGORY) or "") for number in ids.tolist()]
    names, number = np.unique(np.array(of_product, object), return_inverse=True)
    return names.tolist(), number[product]


def _largest(
    group: str, names: list[str], of_row: np.ndarray, named: Iterable[str]
) -> list[tuple[str, str, str, np.ndarray]]:
    """One slice for each of the largest and of the named, and one for all others."""
    counts = np.bincount(of_row, minlength=len(names))
    first = sorted(range(len(names)), key=lambda number: (-counts[number], names[number]))[:LARGEST]
    asked = [key.removeprefix(f"{group}.") for key in named if key.startswith(f"{group}.")]
    first += [number for number, name in enumerate(names) if name in asked and number not in first]
    found = [(group, names[number], names[number] or "without", of_row == number) for number in first]
    nothing = np.zeros(len(of_row), bool)
    found += [(group, name, name, nothing) for name in asked if name not in (*names, OTHERS)]
    if len(names) > len(first):
        found.append((group, OTHERS, f"{len(names) - len(first):,} others", ~np.isin(of_row, first)))
    return found
