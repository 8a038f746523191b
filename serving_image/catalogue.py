"""The products of a model as a table, made once: text of products is looked up here, not carried through TensorFlow."""

from typing import Any

import numpy as np

NOTHING = -1  # the product id of a place without a product
TEXTS = {"product_names": 1, "categories": 2, "subcategories": 3}


class Catalogue:
    """All products.

    Args:
        ids: int64 [N], distinct.
        texts: By output of the model, such as product_names: bytes [N], UTF-8.
    """

    def __init__(self, ids: np.ndarray, texts: dict[str, np.ndarray]):
        order = np.argsort(ids)
        self.ids = ids[order]
        # A byte that is not UTF-8 would make every answer with its product unreadable.
        decoded = {name: [text.decode(errors="replace") for text in column[order]] for name, column in texts.items()}
        self.texts = {name: np.array(column, object) for name, column in decoded.items()}
        self.known = frozenset(self.ids.tolist())

    def __len__(self) -> int:
        return len(self.ids)

    def categories(self) -> list[str]:
        return sorted({category for category in self.texts["categories"] if category})

    def answers(self, ids: np.ndarray, scores: np.ndarray, ks: list[int]) -> list[dict[str, Any]]:
        """What each row is told: {"product_ids", "product_names", "categories", "subcategories", "scores"}, best first.

        Args:
            ids: int64 [B, K]; after a row's last product, NOTHING.
            scores: float32 [B, K].
            ks: Products that each row asked for.
        """
        counts = np.minimum((ids != NOTHING).sum(axis=1), ks).tolist()
        places = np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)
        texts = {name: column[places] for name, column in self.texts.items()}
        return [
            {
                "product_ids": ids[row, :count],
                **{name: column[row, :count].tolist() for name, column in texts.items()},
                "scores": scores[row, :count],
            }
            for row, count in enumerate(counts)
        ]
