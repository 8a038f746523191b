from collections.abc import Iterator
from typing import Any

import pytest

from components.evaluator.plots import curves


@pytest.fixture(scope="module")
def charts() -> Iterator[dict[str, Any]]:
    """Charts by what they show: one of the same values is drawn once, until it is taken out of them.

    That another time gives the same drawing is tested in test_plots.
    """
    chart = curves.chart
    drawn: dict[str, Any] = {}

    def once(*values: Any, **options: Any) -> Any:
        shown = repr((values, options))
        if shown not in drawn:
            drawn[shown] = chart(*values, **options)
        return drawn[shown]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "chart", once)
        yield drawn
