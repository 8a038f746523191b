import numpy as np
import pytest

from components.common.bootstrap import UNITS, Bootstrap, Estimate, Interval
from components.evaluator.measures import PerPurchase

Z = 1.959964


def mean(bootstrap: Bootstrap, values: np.ndarray, customer: np.ndarray) -> Estimate:
    """Over all rows, and over a slice of every second one."""
    return PerPurchase(values).estimate(bootstrap, customer, [np.arange(0, len(values), 2)])


def expect(estimate: Estimate, number: int = 0) -> Interval:
    found = estimate.interval(number)
    assert found is not None
    return found


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation_over_customers() -> None:
    """Every customer has four equal rows, so the standard error is the customers' own, not the rows'."""
    rng = np.random.default_rng(1)
    of_customer = rng.normal(5, 2, 900)
    customer = np.repeat(np.arange(900), 4)
    estimate = mean(Bootstrap(900, replicates=4000), of_customer[customer], customer)
    found, half = expect(estimate), expect(estimate, 1)
    assert half == found  # two of each customer's four equal rows
    error = of_customer.std(ddof=1) / np.sqrt(900)
    assert found.value == pytest.approx(of_customer.mean(), abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * Z * error, rel=0.06)
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=0.1 * error)


def test_a_ratio_has_the_standard_error_of_the_delta_method() -> None:
    """Customers with 1 to 60 rows each, the heavy ones with other values than the light ones."""
    rng = np.random.default_rng(2)
    rows = rng.integers(1, 61, 1500)
    customer = np.repeat(np.arange(1500), rows)
    values = rng.random(len(customer)) + rows[customer] / 60
    found = expect(mean(Bootstrap(1500, replicates=4000), values, customer))
    sums = np.array([values[customer == number].sum() for number in range(1500)])
    average = sums.sum() / rows.sum()
    error = np.sqrt(((sums - average * rows) ** 2).sum() * 1500 / 1499) / rows.sum()
    assert found.value == pytest.approx(average, abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * Z * error, rel=0.06)


def test_more_customers_than_units_have_the_same_interval() -> None:
    rng = np.random.default_rng(3)
    customers = 3 * UNITS + 17
    values = rng.exponential(1, customers)
    found = expect(mean(Bootstrap(customers), values, np.arange(customers)))
    assert found.value == pytest.approx(values.mean(), abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * Z * values.std(ddof=1) / np.sqrt(customers), rel=0.1)


def test_differences_are_paired() -> None:
    """A constant difference has no spread, however much the figures themselves have."""
    rng = np.random.default_rng(4)
    customer, values = rng.integers(0, 50, 400), rng.normal(0, 9, 400)
    bootstrap = Bootstrap(50)
    difference = mean(bootstrap, values + 0.25, customer) - mean(bootstrap, values, customer)
    assert difference.interval() == pytest.approx((0.25, 0.25, 0.25), abs=1e-9)


def test_nothing_to_average_has_no_interval() -> None:
    bootstrap = Bootstrap(3)
    assert bootstrap.ratio(np.zeros(3), np.zeros(3)).interval() is None


def test_equal_seeds_draw_equal_customers() -> None:
    assert np.array_equal(Bootstrap(40).weights, Bootstrap(40).weights)
    assert not np.array_equal(Bootstrap(40).weights, Bootstrap(40, seed=1).weights)
    assert (Bootstrap(40).weights.sum(axis=1) == 40).all()
