"""The products in the plane: the two directions in which their embeddings differ most."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from components.common import schema

DRAWN = 1500
COLOURED = 6  # categories with a colour of their own; the others share a quiet one
OTHERS = -1


class ProductMap(NamedTuple):
    """What the map shows of N products, of which n are drawn.

    Attributes:
        points: float64 [n, 2], along the first and the second principal axis, in the embeddings' units.
        names: Product names [n].
        category: int64 [n], places in `categories`, or OTHERS.
        categories: The most frequent categories of the catalogue and how many products they have.
        variance: Shares of the embeddings' variance along the two axes.
        catalogue_size: N.
        neighbours: Share of the drawn products whose nearest drawn product is of their own category, by distance in
            all dimensions; None where no two of them have categories.
        by_chance: The same share for neighbours drawn at random.
    """

    points: np.ndarray
    names: list[str]
    category: np.ndarray
    categories: list[tuple[str, int]]
    variance: tuple[float, float]
    catalogue_size: int
    neighbours: float | None
    by_chance: float


def product_map(embeddings: np.ndarray, catalogue: list[str], products: dict[str, dict[str, Any]]) -> ProductMap | None:
    """Principal component analysis of the candidate embeddings; equal input gives an equal map, signs included.

    Args:
        embeddings: float32 [N, D], in the order of the catalogue.
        catalogue: Product ids [N].
        products: The product lookup of metadata.json.

    Returns:
        The map, or None where all products are in one place.
    """
    embeddings = embeddings.astype(np.float64)
    centred = embeddings - embeddings.mean(axis=0)
    # The covariance has the axes of the embeddings and is only D wide.
    axes, variances, _ = np.linalg.svd(centred.T @ centred)
    if variances[0] <= 1e-12 * np.square(embeddings).sum():  # what is left is rounding
        return None
    axes, share = axes[:, :2], variances[:2] / variances.sum()
    if axes.shape[1] < 2:
        axes, share = np.hstack([axes, np.zeros_like(axes)]), np.append(share, 0.0)
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    drawn = np.unique(np.linspace(0, len(catalogue) - 1, min(DRAWN, len(catalogue))).round().astype(np.int64))
    labels = [str(products.get(product, {}).get(schema.CATEGORY) or "") for product in catalogue]
    counts = Counter(label for label in labels if label)
    categories = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:COLOURED]
    place = {label: number for number, (label, _) in enumerate(categories)}
    neighbours, by_chance = _neighbours(centred[drawn], np.array([labels[i] for i in drawn]))
    return ProductMap(
        points=centred[drawn] @ axes,
        names=[str(products.get(catalogue[i], {}).get(schema.NAME) or catalogue[i]) for i in drawn],
        category=np.array([place.get(labels[i], OTHERS) for i in drawn]),
        categories=categories,
        variance=(float(share[0]), float(share[1])),
        catalogue_size=len(catalogue),
        neighbours=neighbours,
        by_chance=by_chance,
    )


def _neighbours(embeddings: np.ndarray, labels: np.ndarray) -> tuple[float | None, float]:
    """Shares of products whose nearest neighbour has their category, and of pairs that share it."""
    embeddings, labels = embeddings[labels != ""], labels[labels != ""]
    if len(labels) < 2:
        return None, 0.0
    squares = np.square(embeddings).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * embeddings @ embeddings.T
    np.fill_diagonal(distances, np.inf)
    same = labels[:, None] == labels[None, :]
    pairs = (same.sum() - len(labels)) / (len(labels) * (len(labels) - 1))
    return float((labels == labels[distances.argmin(axis=1)]).mean()), float(pairs)
