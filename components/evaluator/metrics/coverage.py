"""Catalogue coverage."""

from components.evaluator.measures import Reach
from components.evaluator.scoring import SHOWN, Scored


def coverage(scored: Scored) -> dict[str, Reach]:
    """The share of the catalogue that is in at least one customer's first ten."""
    return {f"coverage_{SHOWN}": Reach(scored.listed, scored.lists, len(scored.sold))}
