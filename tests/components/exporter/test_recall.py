"""Recall of a release beside the Evaluator's: equal, or apart by what float32 may round."""

import numpy as np
import pytest

from components.common.errors import InputError
from components.common.own_terms import OwnTerms
from components.common.queries import Queries
from components.exporter import recall

# One query; scores 3, 2, 1 and, a hair above the second, 2.000001. The last two products have one embedding.
CANDIDATES = np.array([[3, 0], [2, 0], [1, 0], [2.000001, 0], [0.5, 0], [0.5, 0]], "f4")
QUERIES = np.array([[1, 0], [0, 1]], "f4")


def compare(
    measured: float, target: list[int], k: int = 2, candidates: np.ndarray = CANDIDATES, own: OwnTerms | None = None
) -> dict[str, float]:
    figures = {f"recall_{k}": {"value": measured}, "mrr": {"value": 0.1}}
    query = np.zeros(len(target), np.int64)
    return recall.compare("evaluation.json", figures, Queries(QUERIES, own), candidates, query, np.array(target))


def test_an_equal_figure() -> None:
    """Of the first, third, fourth product and one that is not in the catalogue, two are among the first two."""
    assert compare(2 / 4, [0, 2, 3, -1]) == {"recall_2": 0.5, "max_recall_difference": 0.0}
    found = compare(2 / 4 + 1e-13, [0, 2, 3, -1])
    assert found["recall_2"] == 0.5


@pytest.mark.parametrize("measured", [0.0, 0.5, 1.0])
def test_products_a_rounding_apart_may_be_in_either_order(measured: float) -> None:
    """The second and the fourth product: as they stand, the fourth is in and the second out."""
    assert compare(measured, [1, 3]) == {"recall_2": 0.5, "max_recall_difference": abs(measured - 0.5)}


@pytest.mark.parametrize("measured", [0.0, 0.999999, 1.0000001, float("nan")])
def test_products_further_apart_may_not(measured: float) -> None:
    with pytest.raises(InputError, match=r"recall_1.value: found .*expected 1\.0, the Recall of the release"):
        compare(measured, [0, 0], k=1)


@pytest.mark.parametrize("measured", [0.0, 1.0])
def test_products_of_one_embedding_tie_whatever_rounds(measured: float) -> None:
    """Places five and six are theirs, each with the chance of a half."""
    assert compare(0.5, [4, 5], k=5)["max_recall_difference"] == 0
    with pytest.raises(InputError, match=r"expected 0\.5.*\(0\.5 to 0\.5, as float32"):
        compare(measured, [4, 5], k=5)


# The first query's own products: the third and the sixth, whose twin of one embedding is nobody's.
OWN = OwnTerms(np.array([0, 2, 2]), np.array([2, 5]), np.array([1.000001, 1.5], "f4"))


@pytest.mark.parametrize("measured", [0.0, 0.5, 1.0])
def test_own_terms_decide_before_rounding_does(measured: float) -> None:
    """Scores 3, 2, 2.000001, 2.000001, 0.5, 2: the second, third, fourth and sixth are a rounding apart."""
    assert compare(measured, [1, 5], own=OWN)["recall_2"] == 0
    found = compare(measured, [2, 3], own=OWN)
    assert found == {"recall_2": 0.5, "max_recall_difference": abs(measured - 0.5)}


def test_products_of_one_embedding_tie_no_more_where_one_has_a_term() -> None:
    """The fifth product's twin scores 2 now, so it is last by itself."""
    assert compare(1.0, [4], k=6, own=OWN)["recall_6"] == 1
    with pytest.raises(InputError, match=r"expected 0\.0.*\(0\.0 to 0\.0, as float32"):
        compare(0.5, [4], k=5, own=OWN)
