"""Compares lists that a served model gives with the exact best of a matrix of scores, row by row."""

from collections.abc import Sequence

import numpy as np

from components.common.errors import InputError
from components.exporter.catalogue import Catalogue
from components.exporter.signatures import IDS, NO_PRODUCT, SCORES, TEXTS

TOLERANCE = 1e-5  # of a dot product, as a share of the lengths of its vectors
OWN_TOLERANCE = 1e-6  # of an own term, as a share of the customer's largest
REMEDY = (
    "Nothing is released: saved_model does not answer as the towers do. Run the Exporter again; report it if it stays."
)


class Expected:
    """What a served model's lists of some rows must hold.

    Scores are sums of float32 embeddings, which depend on the batch and the machine in their last bits, so lists may
    differ where scores are within `tolerance` of each other: there, either order is right. Anywhere else the products
    must agree, place by place.

    Args:
        where: The SavedModel's signature, for errors.
        names: Of the rows [b], such as customer 7.
        scores: float64 [b, N], -infinity for products that a row must not show.
        tolerance: [b, 1], by how much two computations of a score may differ.
        k: Places of a row.
    """

    def __init__(self, where: str, names: Sequence[str], scores: np.ndarray, tolerance: np.ndarray, k: int):
        self.where, self.names, self.scores, self.tolerance = where, names, scores, tolerance
        self.k = min(k, scores.shape[1])
        self.best = -np.sort(np.partition(-scores, self.k - 1, axis=1)[:, : self.k], axis=1)

    def compare(self, outputs: dict[str, np.ndarray], catalogue: Catalogue) -> float:
        """The largest difference of a score.

        Args:
            outputs: What the model answered, each [b, k].
            catalogue: The N products.

        Raises:
            InputError: naming the first row and place with another product, score or text.
        """
        ids, found = outputs[IDS], outputs[SCORES]
        if ids.shape != self.best.shape:
            raise InputError(self.where, f"lists {list(ids.shape)}", f"{list(self.best.shape)}", REMEDY)
        sorter = np.argsort(catalogue.ids)
        places = sorter[np.searchsorted(catalogue.ids, ids, sorter=sorter).clip(max=len(catalogue.ids) - 1)]
        own = np.take_along_axis(self.scores, places, axis=1)
        empty = self.best == -np.inf
        with np.errstate(invalid="ignore"):
            # `not <=` rather than `>`: a NaN score is a mismatch.
            wrong = ~(np.abs(own - self.best) <= self.tolerance) | ~(np.abs(found - own) <= self.tolerance)
        wrong |= (catalogue.ids[places] != ids) | _repeated(ids)
        wrong |= _other_texts(outputs, catalogue, places)
        wrong = np.where(empty, (ids != NO_PRODUCT) | (found != -np.inf) | _any_text(outputs), wrong)
        if wrong.any():
            row, place = np.argwhere(wrong)[0]
            raise self._mismatch(row, place, {name: values[row] for name, values in outputs.items()}, catalogue)
        return float(np.abs(np.subtract(found, own, where=~empty, out=np.zeros(own.shape))).max(initial=0))

    def _mismatch(self, row: int, place: int, found: dict[str, np.ndarray], catalogue: Catalogue) -> InputError:
        order = np.argsort(-self.scores[row], kind="stable")[: self.k]
        best, ids = order[place], np.where(self.best[row] == -np.inf, NO_PRODUCT, catalogue.ids[order])
        shown = f"product {ids[place]} with score {self.best[row, place]:.6g}, {_text(catalogue, best)}"
        if ids[place] == NO_PRODUCT:
            shown = "no further product"
        texts = ", ".join(repr(found[name][place].decode(errors="replace")) for name in TEXTS)
        return InputError(
            f"{self.where}, {self.names[row]}, place {place + 1} of {self.k}",
            f"product {found['product_ids'][place]} with score {found['scores'][place]:.6g}, {texts} "
            f"(its first ids: {_first(found['product_ids'])})",
            f"{shown} by the towers and the product lookup (their first ids: {_first(ids)})",
            REMEDY,
        )


def _other_texts(outputs: dict[str, np.ndarray], catalogue: Catalogue, places: np.ndarray) -> np.ndarray:
    wrong = [outputs[name] != getattr(catalogue, column)[places] for name, column in TEXTS.items()]
    return np.logical_or.reduce(wrong)


def _any_text(outputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.logical_or.reduce([outputs[name] != b"" for name in TEXTS])


def _text(catalogue: Catalogue, product: int) -> str:
    return ", ".join(repr(getattr(catalogue, column)[product].decode()) for column in TEXTS.values())


def _repeated(ids: np.ndarray) -> np.ndarray:
    """Where an id [b, k] has been in the row before."""
    order = np.argsort(ids, axis=1, kind="stable")
    ascending = np.take_along_axis(ids, order, axis=1)
    again = np.zeros(ids.shape, np.bool_)
    np.put_along_axis(again, order[:, 1:], ascending[:, 1:] == ascending[:, :-1], axis=1)
    return again


def _first(ids: np.ndarray, shown: int = 5) -> str:
    return " ".join(str(product) for product in ids[:shown])
