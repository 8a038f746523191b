"""The gate: may this model take the place of the one in production? Every reason in words."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from components.common import evaluation
from components.common.bootstrap import Interval
from components.common.errors import InputError, expect_at_least, expect_choice
from components.common.evaluation import BASELINE, CHAMPION, CHAMPION_SLICES, COVERAGE, FEWEST_CUSTOMERS, FLOOR, NONE
from components.evaluator.results import ALL, Results
from components.evaluator.slices import Slice

BEST = "best"
BASELINES = ("popularity", "popularity_by_city", "personal_frequency", "ease")


class Thresholds(NamedTuple):
    """What a model must reach; see the Evaluator's flags."""

    must_beat: str
    margin: float
    slice_margin: float
    min_coverage: float
    floors: dict[str, float]

    @classmethod
    def checked(
        cls, must_beat: str, margin: Any, slice_margin: Any, min_coverage: Any, floors: Mapping[str, Any]
    ) -> "Thresholds":
        """Of flags and pipeline parameters; kfp.local hands small numbers such as 1e-05 on as text.

        Raises:
            InputError: a flag is out of its range.
        """
        expect_choice("--must-beat", must_beat, (*BASELINES, BEST, NONE))
        return cls(
            must_beat,
            _share("--margin", margin),
            _share("--slice-margin", slice_margin),
            _share("--min-coverage", min_coverage),
            {name: _share(f"--floors, slice {name}", floor) for name, floor in floors.items()},
        )

    def expect_possible(self, slices: list[Slice], left_out: Mapping[str, str]) -> None:
        """Raises InputError for a floor of a slice that there is not, and for a baseline that was left out."""
        keys = [ALL, *(part.key for part in slices)]
        for key in self.floors:
            if key not in keys:
                raise InputError(f"--floors, slice {key}", "no such slice", f"one of {', '.join(keys)}", "Correct it.")
        if self.must_beat in left_out:
            found = f"{self.must_beat}, which was left out: {left_out[self.must_beat]}"
            raise InputError("--must-beat", found, "a baseline of this run", "Name another one.")


class Reason(NamedTuple):
    """One condition: whether it holds, the sentence that says why, and the figures that it follows from.

    Attributes:
        measured: None where there was nothing to measure.
        least: What it must reach; see `evaluation.holds`.
    """

    rule: str
    passed: bool
    text: str
    measured: float | None
    least: float


def verdict(results: Results, thresholds: Thresholds) -> dict[str, Any]:
    """Promote, or not, and every reason.

    - champion: the lower end of the interval of the paired difference in Recall is not below -margin (non-inferiority).
    - champion_slices: in no slice that is large enough to lean on the difference is clearly below -slice_margin.
    - floor: no slice that `floors` names has a lower Recall than its floor there.
    - baseline: the lower end of the interval of the difference to the baseline is above 0; to every one for `best`.
    - coverage: enough of the catalogue is shown to somebody.

    Without a champion the last three decide. A comparison of too few customers is not passed: it says nothing.
    """
    reasons = []
    if "champion" in results.scorers:
        reasons += [_champion(results, thresholds.margin), _champion_slices(results, thresholds.slice_margin)]
    reasons += [_floor(results, key, floor) for key, floor in thresholds.floors.items()]
    if thresholds.must_beat != NONE:
        reasons.append(_baseline(results, thresholds.must_beat))
    reasons.append(_coverage(results, thresholds.min_coverage))
    return {
        "promote": all(reason.passed for reason in reasons),
        "reasons": [reason._asdict() for reason in reasons],
        "thresholds": thresholds._asdict(),
    }


def _champion(results: Results, margin: float) -> Reason:
    metric = results.watched
    difference = results.difference("model", "champion", metric)
    passed = _holds(results, CHAMPION, difference.low, -margin)
    text = (
        f"{_name(metric)} is {_of(results, 'model', metric)}, the champion's on the same purchases "
        f"{_of(results, 'champion', metric)}: the difference is {_signed(difference)}, "
        f"{'within' if passed else 'not within'} the margin of {margin:g}{_too_few(results)}."
    )
    return Reason(CHAMPION, passed, text, _finite(difference.low), -margin)


def _champion_slices(results: Results, margin: float) -> Reason:
    worse, ends = [], []
    for number, part in enumerate(results.slices, 1):
        if not part.small:
            there = results.difference("model", "champion", results.watched, number)
            ends.append(there.high)
            if there.high < -margin:
                worse.append(f"{part.label} {_signed(there)}")
    least_end = min((end for end in ends if math.isfinite(end)), default=None)
    below = f"clearly more than {margin:g} below the champion in {_name(results.watched)}"
    text = f"None of the {len(ends)} slices that are large enough to tell is {below}."
    if worse:
        text = f"These slices are {below}: {'; '.join(worse)}."
    return Reason(CHAMPION_SLICES, not worse, text, least_end, -margin)


def _floor(results: Results, key: str, floor: float) -> Reason:
    number = 0 if key == ALL else [part.key for part in results.slices].index(key) + 1
    where = "over all purchases" if key == ALL else f"in the slice {key}"
    measured = results.interval("model", results.watched, number)
    if measured is None:
        return Reason(
            FLOOR, True, f"There is no purchase {where}, so its floor of {floor:g} says nothing.", None, floor
        )
    passed = _holds(results, FLOOR, measured.value, floor)
    than = "not below" if passed else "below"
    text = f"{_name(results.watched)} {where} is {measured.value:.3f}, {than} its floor of {floor:g}."
    return Reason(FLOOR, passed, text, measured.value, floor)


def _baseline(results: Results, name: str) -> Reason:
    metric = results.watched
    names = results.baselines if name == BEST else [name]
    differences = {one: results.difference("model", one, metric) for one in names}
    name = min(differences, key=lambda one: differences[one].low)
    passed = _holds(results, BASELINE, differences[name].low, 0)
    text = (
        f"{_name(metric)} {'beats' if passed else 'does not clearly beat'} the baseline {name.replace('_', ' ')}, "
        f"which reaches {_of(results, name, metric)}: the difference is {_signed(differences[name])}"
        f"{_too_few(results)}."
    )
    return Reason(BASELINE, passed, text, _finite(differences[name].low), 0)


def _coverage(results: Results, least: float) -> Reason:
    measured = results.expect("model", results.coverage).value
    passed = _holds(results, COVERAGE, measured, least)
    asked = f"{'at least' if passed else 'less than'} the {least:.1%} asked for"
    of = f"the first ten of at least one of {results.listed:,} customers"
    return Reason(COVERAGE, passed, f"{measured:.1%} of the catalogue is in {of}, {asked}.", measured, least)


def _holds(results: Results, rule: str, measured: float, least: float) -> bool:
    return evaluation.holds(rule, _finite(measured), least, results.customers >= FEWEST_CUSTOMERS)


def _finite(value: float) -> float | None:
    """The value; None for NaN, which a file of JSON cannot hold."""
    return value if math.isfinite(value) else None


def _too_few(results: Results) -> str:
    is_enough = results.customers >= FEWEST_CUSTOMERS
    return "" if is_enough else f", but {results.customers} customers are too few to tell"


def _of(results: Results, scorer: str, metric: str) -> str:
    return f"{results.expect(scorer, metric).value:.3f}"


def _name(metric: str) -> str:
    return f"Recall@{metric.rpartition('_')[2]}"


def _signed(difference: Interval) -> str:
    return f"{difference.value:+.3f} (95% interval {difference.low:+.3f} to {difference.high:+.3f})"


def _share(where: str, value: Any) -> float:
    """The value as a number from 0 to 1."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(where, repr(value), "a share, 0 to 1", "Correct the value.") from None
    expect_at_least(where, number, 0)
    if number > 1:
        raise InputError(where, str(value), "a share, 0 to 1", "Correct the value.")
    return number
