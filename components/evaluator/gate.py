"""The gate: may this model take the place of the one in production? Every reason in words."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from components.common.bootstrap import Interval
from components.common.errors import InputError, expect_at_least, expect_choice
from components.evaluator.results import ALL, Results
from components.evaluator.slices import Slice

BEST, NONE = "best", "none"
BASELINES = ("popularity", "popularity_by_city", "personal_frequency", "ease")
FEWEST_ROWS = 100  # in a slice that the champion is compared on


class Thresholds(NamedTuple):
    """What a model must reach; see the Evaluator's flags."""

    must_beat: str = "popularity"
    margin: float = 0.01
    slice_margin: float = 0.05
    min_coverage: float = 0.01
    floors: Mapping[str, float] = {}

    def check(self) -> None:
        """Raises InputError for a flag out of its range."""
        expect_choice("--must-beat", self.must_beat, (*BASELINES, BEST, NONE))
        for flag, value in (
            ("--margin", self.margin),
            ("--slice-margin", self.slice_margin),
            ("--min-coverage", self.min_coverage),
            *((f"--floors, slice {name}", floor) for name, floor in self.floors.items()),
        ):
            expect_at_least(flag, value, 0)
            if value > 1:
                raise InputError(flag, str(value), "a share, 0 to 1", "Correct the value.")

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
    """One condition: whether it holds, and the sentence that says why."""

    rule: str
    passed: bool
    text: str


def verdict(results: Results, thresholds: Thresholds) -> dict[str, Any]:
    """Promote, or not, and every reason.

    - champion: the lower end of the interval of the paired difference in Recall is not below -margin (non-inferiority),
      and in no slice of FEWEST_ROWS rows or more the difference is clearly below -slice_margin.
    - floor: no slice that `floors` names has a lower Recall than its floor there.
    - baseline: the lower end of the interval of the difference to the baseline is above 0.
    - coverage: enough of the catalogue is shown to somebody.
    """
    reasons = []
    if "champion" in results.scorers:
        reasons += _against_champion(results, thresholds)
    reasons += _floors(results, thresholds.floors)
    if thresholds.must_beat != NONE:
        reasons.append(_against_baseline(results, thresholds.must_beat))
    reasons.append(_coverage(results, thresholds.min_coverage))
    return {
        "promote": all(reason.passed for reason in reasons),
        "reasons": [reason._asdict() for reason in reasons],
    }


def _against_champion(results: Results, thresholds: Thresholds) -> list[Reason]:
    metric, margin = results.watched, thresholds.margin
    difference = results.difference("model", "champion", metric)
    passed = difference.low >= -margin
    found = [
        Reason(
            "champion",
            passed,
            f"{_name(metric)} is {_of(results, 'model', metric)}, the champion's on the same purchases "
            f"{_of(results, 'champion', metric)}: the difference is {_signed(difference)}, "
            f"{'within' if passed else 'not within'} the margin of {margin:g}.",
        )
    ]
    worst = []
    for number, part in enumerate(results.slices, 1):
        if len(part.rows) >= FEWEST_ROWS:
            there = results.difference("model", "champion", metric, number)
            if there.high < -thresholds.slice_margin:
                worst.append(f"{part.label} ({part.group}) {_signed(there)}")
    below = f"clearly more than {thresholds.slice_margin:g} below the champion in {_name(metric)}"
    text = f"These slices are {below}: {'; '.join(worst)}." if worst else f"No slice is {below}."
    return [*found, Reason("champion", not worst, text)]


def _floors(results: Results, floors: Mapping[str, float]) -> list[Reason]:
    numbers = {ALL: 0, **{part.key: number for number, part in enumerate(results.slices, 1)}}
    found = []
    for key, floor in floors.items():
        where = "over all purchases" if key == ALL else f"in the slice {key}"
        measured = results.interval("model", results.watched, numbers[key])
        passed = measured is None or measured.value >= floor
        text = f"There is no purchase {where}, so its floor of {floor:g} says nothing."
        if measured:
            than = "not below" if passed else "below"
            text = f"{_name(results.watched)} {where} is {measured.value:.3f}, {than} its floor of {floor:g}."
        found.append(Reason("floor", passed, text))
    return found


def _against_baseline(results: Results, name: str) -> Reason:
    metric = results.watched
    if name == BEST:
        name = results.best_baseline(metric)
    difference = results.difference("model", name, metric)
    passed = difference.low > 0
    return Reason(
        "baseline",
        passed,
        f"{_name(metric)} {'beats' if passed else 'does not clearly beat'} the baseline {name.replace('_', ' ')}, "
        f"which reaches {_of(results, name, metric)}: the difference is {_signed(difference)}.",
    )


def _coverage(results: Results, least: float) -> Reason:
    measured = results.expect("model", results.coverage).value
    passed = measured >= least
    asked = f"{'at least' if passed else 'less than'} the {least:.1%} asked for"
    return Reason("coverage", passed, f"{measured:.1%} of the catalogue is in somebody's first ten, {asked}.")


def _of(results: Results, scorer: str, metric: str) -> str:
    return f"{results.expect(scorer, metric).value:.3f}"


def _name(metric: str) -> str:
    return f"Recall@{metric.rpartition('_')[2]}"


def _signed(difference: Interval) -> str:
    return f"{difference.value:+.3f} (95% interval {difference.low:+.3f} to {difference.high:+.3f})"
