"""The report's plots: SVG that takes its colours and its type from the page, in light, in dark and on paper."""

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, FAINT = "#010101", "#020202"
SERIES = ("#030303", "#040404", "#050505")
COLOURS = {INK: "var(--ink)", FAINT: "var(--line)"} | {c: f"var(--series-{i})" for i, c in enumerate(SERIES, 1)}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: the page's type, selectable, read aloud
    "font.family": "sans-serif",
    "font.size": 13,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "figure.figsize": (5.2, 3.9),
    "figure.constrained_layout.use": True,
}


class Plot(NamedTuple):
    """One figure of the report: its caption, what it shows in words, and the SVG."""

    title: str
    alt: str
    svg: str


def recall_curves(curves: dict[str, list[float]], labels: dict[str, str]) -> Plot:
    """Recall@k over k, one line per scorer.

    Args:
        curves: Scorer to Recall@1, @2, …
        labels: Scorer to its name on the page.
    """
    title, last = "Recall over products shown", len(next(iter(curves.values())))

    def draw(axes: Axes) -> None:
        for (scorer, values), colour, style in zip(curves.items(), SERIES, ("-", "--", ":"), strict=False):
            axes.plot(range(1, last + 1), values, style, color=colour, linewidth=2.2, label=labels[scorer])
        axes.set(xlabel="products shown (k)", xlim=(1, max(last, 2)), ylim=(0, None))
        axes.legend(loc="lower right")

    ends = "; ".join(f"{labels[scorer]} {values[-1]:.3f}" for scorer, values in curves.items())
    return Plot(title, f"Line chart of Recall@k for k from 1 to {last}. At k = {last}: {ends}.", _svg(draw, title))


def training(record: dict[str, Any]) -> list[Plot]:
    """The loss per epoch with its chance level, and Recall on the validation split; nothing for an empty record."""
    curve = record.get("curve", [])
    plots = []
    epochs = [row["epoch"] for row in curve]
    if curve and "loss" in curve[0]:
        plots.append(_loss(epochs, [row["loss"] for row in curve], record.get("chance_loss")))
    ks = [k for k in (100, 50, 10) if curve and f"validation_recall_{k}" in curve[0]]
    if ks:
        plots.append(_validation(epochs, {k: [row[f"validation_recall_{k}"] for row in curve] for k in ks}))
    return plots


def _loss(epochs: list[int], loss: list[float], chance: float | None) -> Plot:
    def draw(axes: Axes) -> None:
        axes.plot(epochs, loss, color=SERIES[0], linewidth=2.2, label="training loss", **_dots(epochs))
        if chance is not None:
            axes.axhline(chance, color=SERIES[1], linestyle="--", linewidth=1.6, label="chance")
        axes.set(xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="best")

    alt = f"Line chart of the training loss, from {loss[0]:.3f} to {loss[-1]:.3f} in {len(loss)} epochs"
    return Plot("Training loss", f"{alt}; chance is {chance:.3f}." if chance else f"{alt}.", _svg(draw, "loss"))


def _validation(epochs: list[int], recalls: dict[int, list[float]]) -> Plot:
    def draw(axes: Axes) -> None:
        for (k, values), colour, style in zip(recalls.items(), SERIES, ("-", "--", ":"), strict=False):
            axes.plot(epochs, values, style, color=colour, linewidth=2.2, label=f"Recall@{k}", **_dots(epochs))
        axes.set(xlabel="epoch", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="best")

    best = "; ".join(f"Recall@{k} at best {max(values):.3f}" for k, values in recalls.items())
    return Plot(
        "Recall on the validation split", f"Line chart over {len(epochs)} epochs. {best}.", _svg(draw, "validation")
    )


def _dots(points: Sequence[int]) -> dict[str, Any]:
    """A marker where there are too few points to make a line."""
    return {"marker": "o", "markersize": 5} if len(points) < 3 else {}


def _svg(draw: Callable[[Axes], None], salt: str) -> str:
    """Draws into an SVG element; `salt` makes its ids distinct on the page and equal from run to run."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": salt}):
        figure = Figure()
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg.replace("'DejaVu Sans', 'Bitstream Vera Sans'", "inherit")
