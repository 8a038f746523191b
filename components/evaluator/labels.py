"""What the report calls scorers and metrics, and how it writes their figures."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from components.common import page

Group = Literal["purchase", "basket", "variety"]


class Scorer(NamedTuple):
    """A scorer's name, the number of its colour and dashes in page.css, and what it does."""

    label: str
    series: int
    explained: str = ""


class Metric(NamedTuple):
    """A metric's name, how its values are written, and the table that it belongs to."""

    name: str
    label: str
    text: Callable[[float], str]
    group: Group


SCORERS = {
    "model": Scorer("This model", 1),
    "champion": Scorer("Champion", 2),
    "popularity": Scorer("Popularity", 5, "everybody is shown what sold most in training"),
    "popularity_by_city": Scorer(
        "Popularity by city", 6, "everybody is shown what sold most in training in the purchase's city"
    ),
    "personal_frequency": Scorer(
        "Personal frequency", 3, "everybody is shown what they bought most in training, smoothed with popularity"
    ),
    "ease": Scorer("EASE", 4, "a linear item-to-item model of the training purchases (Steck, 2019)"),
}
PURCHASES = "purchases"  # the split's own, beside the scorers in Exhibits.shown
GROUPS: dict[Group, str] = {"purchase": "each purchase", "basket": "each basket", "variety": "what is shown"}


def _short(value: float) -> str:
    return f"{value:.2f}"


FAMILIES: dict[str, tuple[str, Callable[[float], str], Group]] = {
    "recall": ("Recall", page.decimal, "purchase"),
    "ndcg": ("NDCG", page.decimal, "purchase"),
    "mrr": ("MRR", page.decimal, "purchase"),
    "basket_recall": ("Recall", page.decimal, "basket"),
    "basket_ndcg": ("NDCG", page.decimal, "basket"),
    "coverage": ("Coverage", page.percent, "variety"),
    "novelty": ("Novelty", _short, "variety"),
    "popularity_bias": ("Popularity bias", _short, "variety"),
    "only_bestsellers": ("Only best sellers", page.percent, "variety"),
}


def metric(name: str) -> Metric:
    """The metric of a key of evaluation.json, such as recall_10.

    One that is not listed is shown under its own name, in the table where more is not called better.
    """
    family, _, k = name.rpartition("_")
    if not k.isdigit():
        family, k = name, ""
    label, text, group = FAMILIES.get(family, (family, page.decimal, "variety"))
    return Metric(name, f"{label}@{k}" if k else label, text, group)


def order(name: str) -> int:
    """The place of a metric's family in tables; those of one family stay as they are, unknown ones come last."""
    family = name if name in FAMILIES else name.rpartition("_")[0]
    return list(FAMILIES).index(family) if family in FAMILIES else len(FAMILIES)


def in_words(name: str) -> str:
    """A metric's name within a sentence, where no heading says that it is of baskets."""
    found = metric(name)
    return f"basket {found.label}" if found.group == "basket" else found.label


def scorer(name: str) -> Scorer:
    return SCORERS.get(name, Scorer(name, 0))
