"""The gate on figures that are given: every row is a hit or a miss."""

from typing import Any

import numpy as np
import pytest

from components.common.bootstrap import Estimate
from components.common.errors import InputError
from components.evaluator.data import Split
from components.evaluator.gate import Thresholds, verdict
from components.evaluator.results import Results
from components.evaluator.scoring import Scored
from components.evaluator.slices import Slice

CUSTOMERS, ROWS, PRODUCTS = 200, 4000, 50
EXPLORE = np.arange(1000)


def results(**shares: tuple[float, float]) -> Results:
    """Scorer to its Recall@10 in the slice of the first 1,000 rows and in the rest; each customer has 20 rows."""
    customer = np.arange(ROWS) % CUSTOMERS
    nothing = np.zeros(ROWS, np.int64)
    split = Split({}, np.arange(CUSTOMERS).astype(object), customer, nothing, nothing, customer, np.array([]), nothing)
    lists = np.tile(np.arange(10), (CUSTOMERS, 1))
    scored = {}
    for number, (name, (inside, outside)) in enumerate(shares.items()):
        chance = np.where(np.arange(ROWS) < len(EXPLORE), inside, outside)
        miss = np.random.default_rng(number).random(ROWS) >= chance
        better = np.where(miss, 40, 0)
        sold = np.ones(PRODUCTS)
        listed = np.arange(CUSTOMERS)
        scored[name] = Scored(split, (10,), better, nothing, sold, listed, lists, np.ones(CUSTOMERS))
    slices = [
        Slice("history", "explore", "never bought before", EXPLORE, CUSTOMERS),
        Slice("history", "repeat", "bought before", np.arange(len(EXPLORE), ROWS), CUSTOMERS),
        Slice("products", "rare", "1 to 20", np.array([], np.int64), 0),
    ]
    return Results(scored, slices)


def thresholds(**changes: Any) -> Thresholds:
    defaults = {"must_beat": "popularity", "margin": 0.01, "slice_margin": 0.05, "min_coverage": 0.01, "floors": {}}
    return Thresholds.checked(**{**defaults, **changes})


def failed(found: dict[str, Any]) -> list[tuple[str, str]]:
    assert found["promote"] is all(reason["passed"] for reason in found["reasons"])
    return [(reason["rule"], reason["text"]) for reason in found["reasons"] if not reason["passed"]]


def test_a_model_above_its_baseline_is_promoted_without_a_champion() -> None:
    found = verdict(results(model=(0.3, 0.6), popularity=(0.2, 0.5)), thresholds())
    assert failed(found) == []
    assert [reason["rule"] for reason in found["reasons"]] == ["baseline", "coverage"]
    assert "Recall@10 beats the baseline popularity" in found["reasons"][0]["text"]
    assert (
        "20.0% of the catalogue is in the first ten of at least one of 200 customers, at least the 1.0% asked for"
        in str(found)
    )


def test_a_model_that_only_equals_its_baseline_is_not() -> None:
    ((rule, text),) = failed(verdict(results(model=(0.4, 0.5), popularity=(0.4, 0.5)), thresholds()))
    assert rule == "baseline"
    assert "does not clearly beat the baseline popularity" in text
    assert failed(verdict(results(model=(0.4, 0.5), popularity=(0.4, 0.5)), thresholds(must_beat="none"))) == []


def test_the_best_baseline_is_looked_for() -> None:
    figures = results(model=(0.3, 0.5), popularity=(0.2, 0.3), ease=(0.5, 0.7), personal_frequency=(0.4, 0.6))
    ((rule, text),) = failed(verdict(figures, thresholds(must_beat="best")))
    assert rule == "baseline"
    assert "the baseline ease" in text


@pytest.mark.parametrize(("drop", "margin", "promoted"), [(0.0, 0.05, True), (0.1, 0.05, False), (0.1, 0.2, True)])
def test_the_champion_may_be_better_by_the_margin(drop: float, margin: float, promoted: bool) -> None:
    """The difference's standard error is about .008, so its interval begins .015 below it."""
    figures = results(model=(0.5 - drop, 0.5 - drop), champion=(0.5, 0.5), popularity=(0.1, 0.1))
    found = verdict(figures, thresholds(margin=margin, slice_margin=0.2))
    assert found["promote"] is promoted
    assert [rule for rule, _ in failed(found)] == [] if promoted else ["champion"]
    assert ("not within the margin" in found["reasons"][0]["text"]) is not promoted


def test_a_difference_that_may_be_beyond_the_margin_is_not_within_it() -> None:
    """Non-inferiority: equal models, but a margin narrower than the data can tell."""
    figures = results(model=(0.5, 0.5), champion=(0.5, 0.5), popularity=(0.1, 0.1))
    assert [rule for rule, _ in failed(verdict(figures, thresholds(margin=0.001)))] == ["champion"]


def test_no_slice_may_fall_below_the_champion() -> None:
    figures = results(model=(0.2, 0.62), champion=(0.4, 0.5), popularity=(0.1, 0.1))
    ((rule, text),) = failed(verdict(figures, thresholds()))
    assert rule == "champion_slices"
    assert text.startswith(
        "These slices are clearly more than 0.05 below the champion in Recall@10: never bought before -0."
    )
    assert ";" not in text


def test_floors_hold_without_a_champion() -> None:
    figures = results(model=(0.2, 0.6), popularity=(0.1, 0.1))
    floors = {"all": 0.45, "history.explore": 0.3, "history.repeat": 0.5, "products.rare": 0.9}
    found = verdict(figures, thresholds(floors=floors))
    ((rule, text),) = failed(found)
    assert rule == "floor"
    assert text.startswith("Recall@10 in the slice history.explore is 0.")
    assert text.endswith("below its floor of 0.3.")
    assert "There is no purchase in the slice products.rare" in str(found)


def test_too_little_of_the_catalogue() -> None:
    ((rule, text),) = failed(verdict(results(model=(0.5, 0.5), popularity=(0.1, 0.1)), thresholds(min_coverage=0.21)))
    assert rule == "coverage"
    assert "customers, less than the 21.0% asked for" in text


def test_best_must_be_beaten_whichever_it_is() -> None:
    """Personal frequency has the higher figure, but ease is the one that may be as good: it is less alike."""
    figures = results(model=(0.5, 0.5), popularity=(0.1, 0.1), ease=(0.48, 0.48))
    figures.scorers["personal_frequency"] = {
        "recall_10": Estimate(
            figures.scorers["model"]["recall_10"].value - 0.005, figures.scorers["model"]["recall_10"].resampled - 0.005
        )
    }
    assert figures.best_baseline("recall_10") == "personal_frequency"
    assert figures.difference("model", "personal_frequency", "recall_10").low > 0
    found = verdict(figures, thresholds(must_beat="best"))
    assert ("baseline ease" in str(found["reasons"])) is (figures.difference("model", "ease", "recall_10").low < 0.005)


def test_a_slice_must_be_clearly_below_the_champion() -> None:
    """.06 below, but with an interval that reaches above -.05; and one that does not."""
    for inside, clearly in ((0.44, False), (0.34, True)):
        figures = results(model=(inside, 0.55), champion=(0.47, 0.5), popularity=(0.1, 0.1))
        there = figures.difference("model", "champion", "recall_10", 1)
        assert there.value < -0.05
        assert (there.high < -0.05) is clearly
        rules = [rule for rule, _ in failed(verdict(figures, thresholds(margin=0.5)))]
        assert rules == (["champion_slices"] if clearly else [])


@pytest.mark.parametrize(("rows", "customers", "judged"), [(100, 30, 1), (99, 60, 0), (120, 29, 0)])
def test_a_slice_of_few_purchases_or_customers_is_not_judged(rows: int, customers: int, judged: int) -> None:
    figures = results(model=(0.5, 0.5), champion=(0.5, 0.5), popularity=(0.1, 0.1))
    figures.slices = [Slice("city", "Ulm", "Ulm", np.arange(rows), customers)]
    found = verdict(figures, thresholds(margin=0.5))
    assert f"None of the {judged} slices that are large enough to tell" in str(found)


def test_a_floor_is_for_the_figure_and_not_for_its_interval() -> None:
    figures = results(model=(0.2, 0.6), popularity=(0.1, 0.1))
    measured = figures.expect("model", "recall_10")
    assert verdict(figures, thresholds(floors={"all": measured.value - 1e-6}))["promote"]
    assert not verdict(figures, thresholds(floors={"all": measured.value + 1e-6}))["promote"]


def test_a_handful_of_customers_cannot_pass_a_comparison() -> None:
    figures = results(model=(0.9, 0.9), champion=(0.1, 0.1), popularity=(0.1, 0.1))
    figures.customers = 29
    found = verdict(figures, thresholds())
    assert [rule for rule, _ in failed(found)] == ["champion", "baseline"]
    assert "but 29 customers are too few to tell" in found["reasons"][0]["text"]


def test_the_thresholds_are_written_down() -> None:
    found = verdict(
        results(model=(0.5, 0.5), popularity=(0.1, 0.1)), thresholds(margin="1e-05", floors={"all": "0.25"})
    )
    assert found["thresholds"] == {
        "must_beat": "popularity",
        "margin": 1e-5,
        "slice_margin": 0.05,
        "min_coverage": 0.01,
        "floors": {"all": 0.25},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"must_beat": "luck"}, "--must-beat: found 'luck', expected one of popularity, "),
        ({"margin": -0.1}, "--margin: found -0.1"),
        ({"margin": "wide"}, "--margin: found 'wide', expected a share, 0 to 1"),
        ({"min_coverage": 80}, "--min-coverage: found 80, expected a share, 0 to 1"),
        ({"slice_margin": float("nan")}, "--slice-margin: found nan"),
        ({"floors": {"all": 20}}, "--floors, slice all: found 20, expected a share"),
        ({"floors": {"all": None}}, "--floors, slice all: found None, expected a share"),
    ],
)
def test_thresholds_out_of_their_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        thresholds(**changes)
    assert message in str(error.value)


def test_thresholds_that_this_run_cannot_answer() -> None:
    slices = results(model=(0.5, 0.5), popularity=(0.1, 0.1)).slices
    with pytest.raises(InputError, match=r"slice explore: found no such slice, expected one of all, history\.explore"):
        thresholds(floors={"explore": 0.1}).expect_possible(slices, {})
    with pytest.raises(InputError, match="--must-beat: found ease, which was left out: too many products"):
        thresholds(must_beat="ease").expect_possible(slices, {"ease": "too many products"})
