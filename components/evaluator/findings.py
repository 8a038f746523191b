"""What the figures say, in sentences: who wins, by how much, and where they cannot tell."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from components.common.page import decimal, signed
from components.evaluator.labels import in_words, metric, scorer

Interval = dict[str, float]
Standing = Literal["better", "worse", "level"]
NAMED = 8


def standing(lift: Interval) -> Standing:
    """Whether the interval of a difference lies above 0, below 0, or around it."""
    return "better" if lift["low"] > 0 else "worse" if lift["high"] < 0 else "level"


def headline(evaluation: dict[str, Any]) -> list[str]:
    """The model beside the best baseline, and who has the highest figure of each kind.

    Args:
        evaluation: evaluation.json.
    """
    return [
        *(_beside(name, lift) for name, lift in evaluation["lift"].items()),
        *_highest(evaluation["metrics"]),
    ]


def of_slices(slices: Iterable[dict[str, Any]], name: str) -> str:
    """In how many slices the model is clearly better or worse than the best baseline, and which baseline wins where.

    Args:
        slices: As in evaluation.json.
        name: Key of the lift, such as recall_10.
    """
    compared = [part for part in slices if not part["small"] and name in part.get("lift", {})]
    if not compared:
        return f"{in_words(name)}: no slice is large enough to lean on."
    found = Counter(standing(part["lift"][name]) for part in compared)
    text = (
        f"{in_words(name)}, in the slices that are large enough to lean on: this model is clearly better than the best "
        f"baseline in {found['better']} of {len(compared)} and clearly worse in {found['worse']}; chance may explain "
        f"the difference in {found['level']}."
    )
    lost: dict[str, list[str]] = {}
    for part in sorted(compared, key=lambda part: part["lift"][name]["value"]):
        lift = part["lift"][name]
        if standing(lift) == "worse":
            lost.setdefault(scorer(lift["over"]).label, []).append(f"{part['label']} by {decimal(-lift['value'])}")
    for rival, where in lost.items():
        others = [f"{len(where) - NAMED} more"] if len(where) > NAMED else []
        text += f" {rival} wins in: {_listed([*where[:NAMED], *others])}."
    return text


def of_impact(name: str, difference: Interval) -> str:
    """What some columns are worth, from the difference of models with and without them."""
    if difference["value"] < 0:
        change = f"lower by {_lead(-difference['value'], -difference['high'], -difference['low'])}"
    else:
        change = f"higher by {_lead(difference['value'], difference['low'], difference['high'])}"
    chance = ", which chance may explain" if standing(difference) == "level" else ""
    return f"With them, {in_words(name)} is {change}{chance}."


def _beside(name: str, lift: dict[str, Any]) -> str:
    at, rival, found = f"At {in_words(name)}", scorer(lift["over"]).label, standing(lift)
    ours = _lead(lift["value"], lift["low"], lift["high"])
    theirs = _lead(-lift["value"], -lift["high"], -lift["low"])
    if found == "better":
        return f"{at} this model beats the best baseline, {rival}, by {ours}."
    if found == "worse":
        return f"{at} a baseline wins: {rival} beats this model by {theirs}."
    if lift["value"] < 0:
        return f"{at} a baseline, {rival}, is ahead of this model by {theirs}, which chance may explain."
    return f"{at} this model is ahead of the best baseline, {rival}, by {ours}, which chance may explain."


def _lead(value: float, low: float, high: float) -> str:
    return f"{decimal(value)} ({signed(low)} to {signed(high)})"


def _highest(metrics: dict[str, dict[str, Interval]]) -> list[str]:
    """One sentence per winner of the metrics where more is better."""
    won: dict[tuple[str, ...], list[str]] = {}
    for name in metrics["model"]:
        values = {key: found[name]["value"] for key, found in metrics.items() if name in found}
        if metric(name).group != "variety" and len(values) > 1:
            best = tuple(scorer(key).label for key, value in values.items() if value == max(values.values()))
            won.setdefault(best, []).append(in_words(name))
    return [
        f"{_listed(list(who))} {'has' if len(who) == 1 else 'have'} the highest {_listed(what)}."
        for who, what in won.items()
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
