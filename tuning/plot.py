"""The picture of a search: Recall from training to training, and over the values of every setting."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from tuning.studies import REPEATS

PANEL, COLUMNS = (3.4, 2.6), 3  # inches; panels a row
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
TRAINING, BEST, GIVEN = "#5b7ea4", "#c0532c", "#555555"
LOGARITHMIC = 5  # a setting whose largest value is more than so many times the smallest has such an axis


def write(path: Path, document: dict[str, Any]) -> None:
    """Draws what tuning.json holds, into a PNG."""
    metric = f"validation_recall_{document['k']}"
    done = [trial for trial in document["trials"] if "validation" in trial and REPEATS not in trial]
    names = list(dict.fromkeys(name for trial in done for name in trial["settings"]))
    columns = min(COLUMNS, len(names) + 1)
    rows = -(-(len(names) + 1) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure((PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes in panels[:, 0]:
            axes.set_ylabel(f"validation Recall@{document['k']}")
        first, *others = panels.ravel()
        recalls = [trial["validation"][metric] for trial in done]
        _history(first, [trial["number"] for trial in done], recalls)
        for axes, name in zip(others, names, strict=False):
            mine = [trial for trial in done if name in trial["settings"]]
            is_best = [trial["number"] == document["best"]["number"] for trial in mine]
            values = [trial["settings"][name] for trial in mine]
            _setting(axes, name, values, [trial["validation"][metric] for trial in mine], is_best)
        for axes in (first, *others[: len(names)]):
            axes.axhline(document["given"]["validation"][metric], color=GIVEN, linestyle="--", linewidth=1, zorder=1)
        for axes in others[len(names) :]:
            axes.set_axis_off()
        work = path.with_name(f"{path.name}.partial")
        figure.savefig(work, format="png", dpi=120)
    work.replace(path)


def _history(axes: Axes, numbers: Sequence[int], recalls: Sequence[float]) -> None:
    axes.plot(numbers, recalls, "o", color=TRAINING, markersize=4)
    axes.step(numbers, np.maximum.accumulate(recalls), where="post", color=BEST, linewidth=1)
    axes.set_xlabel("training (line: the best so far; dashed: as given)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _setting(axes: Axes, name: str, values: Sequence[Any], recalls: Sequence[float], is_best: Sequence[bool]) -> None:
    """Recall over the values of one setting; texts side by side, in their order."""
    places: Sequence[Any] = values
    if any(isinstance(value, str) for value in values):
        texts = sorted({str(value) for value in values})
        places = [texts.index(str(value)) for value in values]
        axes.set_xticks(range(len(texts)), texts)
        axes.set_xlim(-0.5, len(texts) - 0.5)
    elif min(values) > 0 and max(values) > LOGARITHMIC * min(values):
        axes.set_xscale("log")
        is_wide = max(values) > 100 * min(values)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if is_wide else (1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    colours = [BEST if best else TRAINING for best in is_best]
    axes.scatter(places, recalls, color=colours, s=16, zorder=2)
    axes.set_xlabel(name.replace("_", " "))
