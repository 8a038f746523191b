import re
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from components.evaluator.plots import curves, svg
from components.evaluator.plots.svg import Key, Line
from tests.components.evaluator import sample_evaluation as sample


def parsed(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)  # noqa: S314  our own


def paths(drawing: str, series: int) -> np.ndarray:
    """The points of a series' line: (points, 2), y downwards."""
    (path,) = parsed(drawing).findall(f".//g[@class='s{series}']/path[@class='line']")
    return np.array(re.findall(r"[ML] (\S+) (\S+)", path.attrib["d"]), float)


def texts(drawing: str) -> dict[str, float]:
    """Text to its y, in the drawing's order."""
    return {text.text or "": float(text.attrib["y"]) for text in parsed(drawing).iter("text")}


def page() -> list[str]:
    """Every line chart of a report."""
    exhibits = sample.exhibits()
    plots = [
        curves.recall(exhibits.curves),
        *curves.training(exhibits.model_metadata["training"]),
        *curves.variety(exhibits.coverage, exhibits.shown),
    ]
    return [plot.svg for plot in plots]


def test_a_line_has_a_point_for_every_value_at_its_height() -> None:
    """A straight piece keeps its points too, and heights are those of the values, whatever the axes."""
    x = [*range(1, 200), 400]
    falling, rising = [0.9 - 0.003 * place for place in range(200)], [0.0, 0.2, 0.21, 0.5]
    drawn = svg.chart("a", x, [Line(Key("a", 1), falling), Line(Key("b", 4), rising)], "x")
    for series, values in ((1, falling), (4, rising)):
        across, down = paths(drawn, series).T
        assert len(down) == len(values)
        for found, expected in ((across, x[: len(values)]), (-down, values)):
            np.testing.assert_allclose(np.diff(found) / np.ptp(found), np.diff(expected) / np.ptp(expected), atol=1e-4)
    both = np.vstack([paths(drawn, 1), paths(drawn, 4)])
    assert np.all(both > 0)
    assert np.all(both < (svg.WIDTH, svg.HEIGHT))
    assert drawn.index('class="s4"') < drawn.index('class="s1"')  # the first on top


def test_ticks_stand_at_their_values() -> None:
    drawn = svg.chart("a", range(1, 11), [Line(Key("a", 1), [0.2, *[0.3] * 8, 0.4])], "tenths", percent=True)
    down = paths(drawn, 1)[:, 1]
    labels = texts(drawn)
    assert [label for label in labels if not label.endswith("%")] == [*map(str, range(1, 11)), "tenths"]
    assert list(labels)[-1] == "40%"
    assert "0%" in labels  # from zero
    assert labels["40%"] - labels["20%"] == pytest.approx(down[-1] - down[0], abs=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.4, 7.313])
def test_one_value_is_a_dot_over_its_only_tick(value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = svg.chart("a", [3], [Line(Key("a", 2), [value])], "epoch", from_zero=value < 1)
    (dot,) = parsed(drawn).iter("use")
    assert dot.attrib["class"] == "dot"
    (tick,) = (text for text in parsed(drawn).iter("text") if text.text == "3")
    assert tick.attrib["x"] == dot.attrib["x"]


def test_looks_come_from_the_page() -> None:
    """A drawing has neither colours nor type nor styles of its own: classes that page.css knows stand instead."""
    for drawn in page():
        assert "<style" not in drawn
        assert not re.search(r"#[0-9a-fA-F]{3,8}[;\"]|stroke|fill|font|clip", re.sub(r'"#m\w+"', "", drawn))
        root = parsed(drawn)
        assert root.attrib["viewBox"] == f"0 0 {svg.WIDTH} {svg.HEIGHT}"
        classes = {element.attrib["class"] for element in root.iter() if "class" in element.attrib}
        assert {"line", "rule"} <= classes <= {"line", "rule", "dot", *(f"s{series}" for series in range(7))}
        for path in set(root.iter("path")) - set(root.findall(".//defs/path")):
            assert path.attrib["class"] in {"line", "rule"}


def test_ids_are_distinct_over_the_page_and_equal_from_run_to_run() -> None:
    drawings = page()
    assert drawings == page()
    ids: list[str] = []
    for drawn in drawings:
        own = re.findall(r'\bid="([^"]*)"', drawn)
        assert set(re.findall(r'href="#([^"]*)"', drawn)) == set(own)
        ids += own
    assert ids
    assert len(set(ids)) == len(ids)
