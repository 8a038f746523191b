"""The colours of page.css, as people see them who lack one kind of cone."""

import itertools
import re

import numpy as np
import pytest

from components.common import page

# Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision deficiency, IEEE TVCG
# 15, 2009: full protanopia, deuteranopia and tritanopia, on linear RGB.
SIGHTS = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
SRGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
LIGHT, DARK = (
    dict(re.findall(r"--([a-z]+(?:-\d)?): (#[0-9a-f]{6})", block))
    for block in re.findall(r":root \{(.*?)\}", page.STYLE.read_text(encoding="utf-8"), re.DOTALL)[:2]
)


def linear(colour: str) -> np.ndarray:
    """Linear RGB of "#rrggbb" (IEC 61966-2-1)."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB, for the white of sRGB."""
    xyz = SRGB_TO_XYZ @ rgb / (SRGB_TO_XYZ @ np.ones(3))
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""
    high, low = sorted(((SRGB_TO_XYZ @ linear(colour))[1] for colour in (one, other)), reverse=True)
    return float((high + 0.05) / (low + 0.05))


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_six_series_stay_apart(colours: dict[str, str], sight: str) -> None:
    """A difference of 20 in CIELAB; the palette of Okabe and Ito, without black and yellow, comes to 16."""
    seen = [lab(np.clip(SIGHTS[sight] @ linear(colours[f"series-{i}"]), 0, 1)) for i in range(1, 7)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 20


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_everything_can_be_seen_on_paper(colours: dict[str, str]) -> None:
    """WCAG 2.2: 4.5 for text, 3 for lines."""
    for name in ("ink", "quiet", "good", "bad"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
        assert contrast(colours[name], colours["tint"]) >= 4.5, name
    for i in range(7):
        assert contrast(colours[f"series-{i}"], colours["paper"]) >= 3, i


def test_signed_figures() -> None:
    assert [page.signed(value) for value in (0.0123, -0.0123, 0.0)] == ["+0.012", "\N{MINUS SIGN}0.012", "+0.000"]
