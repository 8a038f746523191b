"""The report's tables, from evaluation.json: cells as they are shown."""

from collections.abc import Callable
from typing import Any, NamedTuple

from markupsafe import Markup

from components.common.page import decimal, signed
from components.evaluator.findings import Interval, Standing, standing
from components.evaluator.labels import GROUPS, Group, Metric, Scorer, metric, order, scorer


class Cell(NamedTuple):
    """A figure, its interval, and whether it is the highest of its column."""

    value: str
    interval: str
    best: bool = False


class Figures(NamedTuple):
    """Scorers by metrics.

    Attributes:
        groups: Kinds of metrics and how many columns they have.
        metrics: The columns.
        rows: The scorers and their cells; None where a scorer lacks the metric.
    """

    groups: list[tuple[str, int]]
    metrics: list[Metric]
    rows: list[tuple[Scorer, list[Cell | None]]]


class Compared(NamedTuple):
    """The model and the best baseline in one slice, by one metric; "" and None where there is nothing to show."""

    model: Cell
    best: str
    over: str
    lift: Cell | None
    standing: Standing | None
    whisker: Markup


class Row(NamedTuple):
    """One slice; a small one is too small to lean on."""

    label: str
    rows: int
    share: float
    small: bool
    compared: list[Compared | None]


def figures(metrics: dict[str, dict[str, Interval]], *kinds: Group) -> Figures:
    """The table of some kinds of metrics; the highest figures stand out where more is better."""
    ordered = sorted(metrics["model"], key=order)
    names = [name for kind in kinds for name in ordered if metric(name).group == kind]
    best = {name: max(found[name]["value"] for found in metrics.values() if name in found) for name in names}
    return Figures(
        groups=[(GROUPS[kind], n) for kind in kinds if (n := sum(metric(name).group == kind for name in names))],
        metrics=[metric(name) for name in names],
        rows=[
            (scorer(key), [_figure(metric(name), found.get(name), best[name]) for name in names])
            for key, found in metrics.items()
        ],
    )


def slices(evaluation: dict[str, Any], names: list[str]) -> dict[str, list[Row]]:
    """Per group of slices its rows, after all purchases as a group of their own.

    Args:
        evaluation: evaluation.json.
        names: The metrics to compare the model and the best baseline by.
    """
    everything = {**evaluation, "group_label": "", "label": "All purchases", "share": 1.0, "small": False}
    parts = [everything, *evaluation["slices"]]
    reach = {name: _reach(parts, name) for name in names}
    groups: dict[str, list[Row]] = {}
    for part in parts:
        small = part["small"]
        compared = [_compared(part, name, reach[name], small=small) for name in names]
        row = Row(part["label"], part["rows"], part["share"], small, compared)
        groups.setdefault(part["group_label"], []).append(row)
    return groups


def whisker(found: Interval, reach: float, standing: Standing | None) -> Markup:
    """An interval drawn beside 0 in the middle; it is cut off at plus and minus `reach`."""
    value, low, high = (max(-1.0, min(1.0, found[key] / reach)) * 46 for key in ("value", "low", "high"))
    return Markup(
        '<svg class="whisker {}" viewBox="-50 -6 100 12" aria-hidden="true"><line class="zero" y1="-6" y2="6"/>'
        '<line class="range" x1="{:.1f}" x2="{:.1f}"/><circle cx="{:.1f}" r="3"/></svg>'
    ).format(standing or "", low, high, value)


def _figure(of: Metric, found: Interval | None, best: float) -> Cell | None:
    if found is None:
        return None
    return _cell(found, of.text, best=of.group != "variety" and found["value"] == best)


def _cell(found: Interval, text: Callable[[float], str], *, best: bool = False) -> Cell:
    to = " to " if text is signed else "\N{EN DASH}"
    return Cell(text(found["value"]), f"{text(found['low'])}{to}{text(found['high'])}", best)


def _reach(parts: list[dict[str, Any]], name: str) -> float:
    """The furthest from 0 that an interval goes in a slice that is large enough."""
    lifts = [part["lift"][name] for part in parts if not part["small"] and name in part.get("lift", {})]
    return max([abs(lift[end]) for lift in lifts for end in ("low", "high")], default=0.0) or 1.0


def _compared(part: dict[str, Any], name: str, reach: float, *, small: bool) -> Compared | None:
    found, lift = part.get("metrics", {}), part.get("lift", {}).get(name)
    if name not in found.get("model", {}):
        return None
    model = _cell(found["model"][name], decimal)
    if lift is None:
        return Compared(model, "", "", None, None, Markup(""))
    seen = None if small else standing(lift)
    best = decimal(found[lift["over"]][name]["value"])
    return Compared(model, best, scorer(lift["over"]).label, _cell(lift, signed), seen, whisker(lift, reach, seen))
