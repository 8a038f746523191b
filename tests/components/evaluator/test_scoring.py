import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from components.common.ranking import NOT_IN_CATALOGUE, count_better
from components.evaluator import scoring
from components.evaluator.data import Split
from components.evaluator.metrics.mrr import mrr
from components.evaluator.metrics.ndcg import ndcg
from components.evaluator.scoring import Scored


def scored(scores: np.ndarray, target: np.ndarray) -> Scored:
    rows, products = scores.shape
    numbers = np.arange(rows)
    better, tied = count_better(lambda block: scores[block], numbers, target, candidates=products)
    nothing = np.array([], object)
    split = Split({}, numbers.astype(object), numbers, target, numbers, numbers, nothing, numbers)
    empty = np.empty((0, 1), np.int64)
    return Scored(split, (1,), better, tied, np.ones(products), np.array([], np.int64), empty, np.ones(rows))


def test_ndcg_agrees_with_scikit_learn_which_averages_over_ties_too() -> None:
    rng = np.random.default_rng(6)
    scores, target = rng.integers(0, 12, (200, 40)).astype(np.float32), rng.integers(0, 40, 200)
    found = ndcg(scored(scores, target))["ndcg_10"].values
    truth = np.eye(40)[target]
    expected = [ndcg_score(truth[row : row + 1], scores[row : row + 1], k=10) for row in range(200)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_mrr_agrees_with_scikit_learn_on_untied_scores() -> None:
    rng = np.random.default_rng(7)
    scores, target = rng.permuted(np.tile(np.arange(50.0), (100, 1)), axis=1), rng.integers(0, 50, 100)
    expected = label_ranking_average_precision_score(np.eye(50)[target], scores)
    assert mrr(scored(scores, target))["mrr"].values.mean() == pytest.approx(expected, abs=1e-12)


def test_a_product_outside_the_catalogue_is_worth_nothing() -> None:
    did = scored(np.zeros((2, 5)), np.array([NOT_IN_CATALOGUE, 3]))
    assert mrr(did)["mrr"].values.tolist() == [0.0, pytest.approx(sum(1 / place for place in range(1, 6)) / 5)]


@pytest.mark.parametrize("levels", [3, 1000])
def test_top_is_a_stable_sort(levels: int) -> None:
    rng = np.random.default_rng(8)
    scores = rng.integers(0, levels, (30, 60)).astype(np.float32)
    asked = rng.integers(0, 30, 50)
    expected = [sorted(range(60), key=lambda product: (-scores[query, product], product))[:10] for query in asked]
    assert scoring.top(lambda block: scores[block], asked, 60).tolist() == expected


def test_top_of_a_small_catalogue_is_all_of_it() -> None:
    assert scoring.top(lambda _: np.array([[1.0, 3.0, 2.0]]), np.array([0, 0]), 3).tolist() == [[1, 2, 0]] * 2


def test_tenths_hold_equal_numbers_of_products() -> None:
    sold = np.random.default_rng(9).permutation(40).astype(np.float64)
    tenth = scoring.popularity_tenth(sold)
    assert np.bincount(tenth).tolist() == [4] * 10
    assert sorted(sold[tenth == 0]) == [36, 37, 38, 39]
    assert sorted(sold[tenth == 9]) == [0, 1, 2, 3]


def test_the_earliest_row_of_each_customer() -> None:
    nothing = np.array([], object)
    split = Split(
        raw={},
        customers=np.array([b"a", b"b"], object),
        customer=np.array([1, 0, 1, 0]),
        product=np.zeros(4, np.int64),
        time=np.array([5, 9, 2, 9]),
        basket=np.zeros(4, np.int64),
        cities=nothing,
        city=np.zeros(4, np.int64),
    )
    assert split.first_row.tolist() == [1, 2]
