"""The report's line charts: Recall over k, training, and what is shown of the catalogue."""

from typing import Any

from components.common.page import decimal, percent
from components.evaluator.labels import PURCHASES, scorer
from components.evaluator.plots.svg import Key, Line, Plot, chart


def recall(curves: dict[str, list[float]]) -> Plot:
    """Recall@k over k, one line per scorer.

    Args:
        curves: Scorer to Recall@1, @2, …
    """
    last = len(next(iter(curves.values())))
    lines = [_line(name, values, decimal(values[-1])) for name, values in curves.items()]
    ends = "; ".join(f"{line.key.label} {line.key.note}" for line in lines)
    return Plot(
        title=f"Recall@k of every scorer; beside its name, Recall@{last}",
        alt=f"Line chart of Recall@k for k from 1 to {last}. At k = {last}: {ends}.",
        svg=chart("recall", range(1, last + 1), lines, "products shown (k)"),
        keys=[line.key for line in lines],
    )


def training(record: dict[str, Any]) -> list[Plot]:
    """The loss per epoch with its chance level, and Recall on the validation split; nothing for an empty record.

    Args:
        record: "training" of model_metadata.json.
    """
    curve = record.get("curve", [])
    epochs = [row["epoch"] for row in curve]
    plots = []
    if curve and "loss" in curve[0]:
        plots.append(_loss(epochs, [row["loss"] for row in curve], record.get("chance_loss")))
    ks = [k for k in (100, 50, 10) if curve and f"validation_recall_{k}" in curve[0]]
    if ks:
        plots.append(_validation(epochs, {k: [row[f"validation_recall_{k}"] for row in curve] for k in ks}))
    return plots


def variety(coverage: dict[str, list[float]], shown: dict[str, list[float]]) -> list[Plot]:
    """How much of each tenth of the catalogue is shown at all, and how the places in the lists are shared out.

    Args:
        coverage: Scorer to the share of each tenth's products that are in somebody's top ten.
        shown: Scorer, or "purchases", to each tenth's share of all places in the top tens, or of the purchases.
    """
    plots = []
    if coverage:
        plots.append(_tenths("Products shown to at least one customer", "share of products shown", coverage))
    if shown:
        plots.append(_tenths("Places in the top tens, beside purchases", "share of places", shown))
    return plots


def _loss(epochs: list[int], loss: list[float], chance: float | None) -> Plot:
    lines = [Line(Key("training loss", 1, decimal(loss[-1])), loss)]
    alt = f"Line chart of the training loss, from {loss[0]:.3f} to {loss[-1]:.3f} in {len(loss)} epochs"
    if chance is not None:
        lines.append(Line(Key("chance", 0, decimal(chance)), [chance] * len(loss)))
        alt = f"{alt}; chance is {chance:.3f}"
    svg = chart("loss", epochs, lines, "epoch", from_zero=False, dots=len(epochs) < 3)
    return Plot("Training loss", f"{alt}.", svg, [line.key for line in lines])


def _validation(epochs: list[int], recalls: dict[int, list[float]]) -> Plot:
    lines = [
        Line(Key(f"Recall@{k}", series, f"at best {max(values):.3f}"), values)
        for (k, values), series in zip(recalls.items(), (1, 3, 6), strict=False)
    ]
    best = "; ".join(f"{line.key.label} {line.key.note}" for line in lines)
    return Plot(
        title="Recall on the validation split",
        alt=f"Line chart of Recall on the validation split over {len(epochs)} epochs: {best}.",
        svg=chart("validation", epochs, lines, "epoch", dots=len(epochs) < 3),
        keys=[line.key for line in lines],
    )


def _tenths(title: str, what: str, shares: dict[str, list[float]]) -> Plot:
    """One line per scorer over the catalogue, from the most to the least bought products."""
    groups = len(next(iter(shares.values())))
    unit = "tenth" if groups == 10 else "group"
    lines = [_line(name, values) for name, values in shares.items()]
    ends = "; ".join(f"{line.key.label} {percent(line.values[0])} and {percent(line.values[-1])}" for line in lines)
    return Plot(
        title=title,
        alt=f"Line chart of the {what} by {unit} of the catalogue. In the most and the least bought {unit}: {ends}.",
        svg=chart(
            title, range(1, groups + 1), lines, f"{unit}s of the catalogue, 1 = most bought", percent=True, dots=True
        ),
        keys=[line.key for line in lines],
    )


def _line(name: str, values: list[float], note: str = "") -> Line:
    if name == PURCHASES:
        return Line(Key("Purchases", 0, note), values)
    return Line(Key(scorer(name).label, scorer(name).series, note), values)
