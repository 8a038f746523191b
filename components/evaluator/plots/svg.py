"""Line charts by matplotlib, whose colours, dashes and type come from page.css: light, dark and on paper alike."""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = 400, 270
# What is drawn in these colours gets a class of page.css instead.
CLASSES = {"#010101": "line", "#020202": "dot", "#030303": "rule"}
LINE, DOT, RULE = CLASSES
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: the page's type, selectable, read aloud
    "path.simplify": False,  # every value is in the drawing
    "font.size": 11.5,
    "axes.autolimit_mode": "round_numbers",
    "axes.formatter.useoffset": False,
    "axes.xmargin": 0,
    "axes.ymargin": 0,
    "xtick.bottom": False,
    "ytick.left": False,
    "ytick.major.pad": 6,
    "lines.markersize": 6,
    "lines.markeredgewidth": 0,
}
ROUND = [1, 2, 5, 10]
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


class Key(NamedTuple):
    """An entry of a legend: its text, the number of its colour and dashes in page.css, and a figure beside it."""

    label: str
    series: int
    note: str = ""


class Line(NamedTuple):
    """A line over the chart's x values (it may end early), and its entry in the legend."""

    key: Key
    values: Sequence[float]


class Plot(NamedTuple):
    """One figure of the report.

    Attributes:
        title: Its caption.
        alt: What a reader sees in it, in words and figures.
        svg: The drawing.
        keys: Its legend.
        mark: What the legend shows beside each entry.
    """

    title: str
    alt: str
    svg: Markup
    keys: list[Key]
    mark: str = "line"


def chart(
    name: str,
    x: Sequence[int],
    lines: Sequence[Line],
    x_label: str,
    *,
    percent: bool = False,
    from_zero: bool = True,
    dots: bool = False,
) -> Markup:
    """Draws lines over whole numbers.

    Args:
        name: Another one for every chart of a page: ids are made from it.
        x: Ascending, at least one.
        lines: The first is drawn last, on top of the others.
        x_label: Below the x axis.
        percent: The values are shares, labelled as percentages.
        from_zero: The y axis begins at 0 and not at the lowest value.
        dots: Every value gets a dot; lines of one value always do.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, MaxNLocator

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure((WIDTH / 72, HEIGHT / 72), layout="constrained", frameon=False)
        axes = figure.subplots(subplot_kw={"frame_on": False, "xlabel": x_label})
        axes.grid(axis="y", color=RULE, clip_on=False)
        whole = MaxNLocator(10, steps=ROUND, integer=True)
        axes.xaxis.set_major_locator(whole if len(x) > 1 else FixedLocator(x))
        axes.yaxis.set_major_locator(MaxNLocator(7, steps=ROUND))
        if percent:
            axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
        if from_zero:
            highest = max(value for line in lines for value in line.values)
            axes.update_datalim([(x[0], 0), (x[0], highest or 1)])
        for line in reversed(lines):
            drawn = axes.plot(x[: len(line.values)], line.values, color=LINE, markerfacecolor=DOT, clip_on=False)
            drawn[0].set(gid=f"s{line.key.series}", marker="o" if dots or len(line.values) == 1 else "")
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", metadata=NO_METADATA)
    return _for_the_page(drawing.getvalue())


def _for_the_page(svg: str) -> Markup:
    """Leaves size and looks to page.css, and no id but those of the dots, which are referred to."""
    svg = re.sub(r".*?<svg[^>]*>", f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">', svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</defs>", "", svg, flags=re.DOTALL)  # would hold for the whole page
    svg = re.sub(r' id="(s\d)"', r' class="\1"', svg)
    svg = re.sub(r' id="(?!m[0-9a-f]{10}")[^"]*"', "", svg)
    for colour, name in CLASSES.items():
        svg = re.sub(rf'style="[^"]*{colour}[^"]*"', f'class="{name}"', svg)
    svg = re.sub(r"font-size:[^;]*; font-family:[^;\"]*;? ?", "", svg)
    return Markup(svg.replace("xlink:href", "href"))  # noqa: S704  matplotlib escapes text
