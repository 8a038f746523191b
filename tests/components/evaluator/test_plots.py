import math
import re

import pytest

from components.evaluator.plots import svg
from components.evaluator.plots.svg import Key, Line


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0.587, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (5.96, 7.313, [5.5, 6, 6.5, 7, 7.5]),
        (0, 0, [0, 0.2]),
        (0.0021, 0.0078, [0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert svg.ticks(low, high)[0] == expected


def test_ticks_enclose_the_values_are_few_and_can_be_told_apart() -> None:
    for low, high in [
        (a * 10.0**e, (a + b) * 10.0**e) for a in (0, 0.37, 5, 99) for b in (0, 0.013, 1, 7.7) for e in (-3, 0, 4)
    ]:
        ticks, decimals = svg.ticks(low, high)
        assert ticks[0] <= low + 1e-9 * abs(low)
        assert ticks[-1] >= high - 1e-9 * abs(high)
        assert 2 <= len(ticks) <= svg.TICKS + 3
        assert len({f"{tick:.{decimals}f}" for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (1, 1, [1]),
        (1, 4, [1, 2, 3, 4]),
        (1, 10, list(range(1, 11))),
        (1, 58, [1, 10, 20, 30, 40, 50]),
        (1, 100, [1, 20, 40, 60, 80, 100]),
    ],
)
def test_whole_ticks(first: int, last: int, expected: list[int]) -> None:
    assert svg.whole_ticks(first, last) == expected


def test_a_line_goes_where_its_values_say() -> None:
    """Ticks are 0 to 1, so the plane is the whole of the y axis; x from 1 to 3."""
    drawn = svg.chart([1, 2, 3], [Line(Key("a", 1), [0.0, 0.5, 1.0]), Line(Key("b", 2), [1.0])], "x")
    bottom, right = svg.HEIGHT - svg.BOTTOM, svg.WIDTH - svg.RIGHT
    expected = [(svg.LEFT, bottom), ((svg.LEFT + right) / 2, (svg.TOP + bottom) / 2), (right, svg.TOP)]
    (points,) = re.findall(r'points="([^"]+)"', drawn)
    found = [tuple(float(value) for value in point.split(",")) for point in points.split()]
    assert all(math.dist(a, b) < 0.01 for a, b in zip(found, expected, strict=True))
    (dot,) = re.findall(r'cx="([^"]+)" cy="([^"]+)"', drawn)  # a line of one value is a dot
    assert (float(dot[0]), float(dot[1])) == (svg.LEFT, svg.TOP)
    assert drawn.index('class="s2"') < drawn.index('class="s1"')  # the first on top
