"""Line charts as SVG elements whose colours, dashes and type come from page.css: light, dark and on paper alike."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = 400, 270
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 8, 44
TICKS = 6


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
        x: Ascending, at least one.
        lines: The first is drawn last, on top of the others.
        x_label: Below the x axis.
        percent: The values are shares, labelled as percentages.
        from_zero: The y axis begins at 0 and not at the lowest value.
        dots: Every value gets a dot; lines of one value always do.
    """
    values = [value for line in lines for value in line.values]
    y_ticks, decimals = ticks(0 if from_zero else min(values), max(values))
    across = _scale(x[0], x[-1], LEFT, WIDTH - RIGHT)
    up = _scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [
        *(_y_tick(up(tick), _text(tick, decimals, percent=percent)) for tick in y_ticks),
        *(_x_tick(across(tick), str(tick)) for tick in whole_ticks(x[0], x[-1])),
        Markup('<text x="{:.0f}" y="{}" text-anchor="middle">{}</text>').format(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label
        ),
    ]
    for line in reversed(lines):
        points = [(across(place), up(value)) for place, value in zip(x, line.values, strict=False)]
        path = " ".join(f"{a:.2f},{b:.2f}" for a, b in points)
        drawn = [Markup('<polyline class="line" points="{}"/>').format(path)] if len(points) > 1 else []
        if dots or len(points) == 1:
            drawn += [Markup('<circle class="dot" cx="{:.2f}" cy="{:.2f}" r="3"/>').format(a, b) for a, b in points]
        parts.append(Markup('<g class="s{}">{}</g>').format(line.key.series, Markup("").join(drawn)))
    return Markup('<svg viewBox="0 0 {} {}">{}</svg>').format(WIDTH, HEIGHT, Markup("").join(parts))


def ticks(low: float, high: float) -> tuple[list[float], int]:
    """Round values that enclose low and high, and the decimals that tell them apart."""
    span = high - low or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(span / TICKS))
    step = next(size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [round(place * step, decimals) for place in range(first, max(last, first + 1) + 1)], decimals


def whole_ticks(first: int, last: int) -> list[int]:
    """The first value, and the round whole numbers up to the last that do not crowd it."""
    span = last - first
    sizes = (10**power * factor for power in range(10) for factor in (1, 2, 5))
    step = 1 if span <= 2 * TICKS else next(size for size in sizes if span <= TICKS * size)
    return [first, *(tick for tick in range(step, last + 1, step) if tick > first and tick - first >= step / 2)]


def _scale(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    span = high - low or 1.0
    return lambda value: begin + (value - low) / span * (end - begin)


def _text(value: float, decimals: int, *, percent: bool) -> str:
    return f"{100 * value:.{max(0, decimals - 2)}f}%" if percent else f"{value:.{decimals}f}"


def _y_tick(y: float, text: str) -> Markup:
    return Markup(
        '<line class="rule" x1="{}" x2="{}" y1="{y:.2f}" y2="{y:.2f}"/>'
        '<text x="{}" y="{:.2f}" text-anchor="end">{}</text>'
    ).format(LEFT, WIDTH - RIGHT, LEFT - 6, y + 4, text, y=y)


def _x_tick(x: float, text: str) -> Markup:
    return Markup('<text x="{:.2f}" y="{}" text-anchor="middle">{}</text>').format(x, HEIGHT - BOTTOM + 16, text)
