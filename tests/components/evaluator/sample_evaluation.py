"""A hand-made evaluation of plausible figures: the demo's, where it has them. A baseline wins, as it does there."""

from typing import Any

import numpy as np

from components.evaluator.embedding_map import product_map
from components.evaluator.report import Exhibits

SCORERS = ("model", "champion", "popularity", "popularity_by_city", "personal_frequency", "ease")
FIGURES = {
    "recall_5": (0.147, 0.139, 0.080, 0.081, 0.165, 0.160),
    "recall_10": (0.205, 0.197, 0.113, 0.114, 0.238, 0.233),
    "recall_50": (0.402, 0.395, 0.261, 0.262, 0.472, 0.465),
    "recall_100": (0.507, 0.497, 0.351, 0.349, 0.587, 0.579),
    "ndcg_10": (0.118, 0.113, 0.063, 0.064, 0.141, 0.137),
    "mrr": (0.101, 0.097, 0.057, 0.058, 0.122, 0.118),
    "basket_recall_10": (0.211, 0.203, 0.117, 0.119, 0.243, 0.239),
    "basket_ndcg_10": (0.231, 0.222, 0.128, 0.129, 0.266, 0.261),
    "coverage_10": (0.782, 0.760, 0.007, 0.041, 0.985, 0.874),
    "novelty_10": (8.61, 8.55, 6.02, 6.11, 9.84, 8.97),
    "popularity_bias_10": (1.84, 1.88, 4.91, 4.77, 1.02, 1.58),
    "only_bestsellers_10": (0.013, 0.015, 1.0, 0.953, 0.0, 0.004),
}
WIDTHS = {"novelty_10": 0.05, "popularity_bias_10": 0.06}  # half an interval; 0.005 for the others
# Group: its label and per slice name, label, purchases, Recall@10 of model, personal frequency and EASE, half interval.
SLICES: dict[str, tuple[str, list[tuple[str, str, int, tuple[float, ...], float]]]] = {
    "history": (
        "Purchase history",
        [
            ("repeat", "bought before", 17840, (0.318, 0.402, 0.391), 0.005),
            ("new", "not bought before", 12918, (0.049, 0.012, 0.015), 0.004),
        ],
    ),
    "customers": (
        "Customers",
        [
            ("light", "few purchases in training", 2204, (0.151, 0.148, 0.150), 0.016),
            ("heavy", "many purchases in training", 28550, (0.209, 0.245, 0.240), 0.005),
            ("unseen", "not in training", 4, (0.25, 0.25, 0.2), 0.25),
        ],
    ),
    "products": (
        "Products",
        [
            ("seen", "in the catalogue", 30746, (0.205, 0.238, 0.233), 0.005),
            ("cold", "first sold after training", 0, (), 0.0),
        ],
    ),
    "popularity": (
        "Popularity of the product",
        [
            ("head", "most bought tenth", 10765, (0.391, 0.402, 0.398), 0.007),
            ("tail", "least bought half", 7115, (0.061, 0.129, 0.101), 0.006),
        ],
    ),
    "city": (
        "City",
        [
            ("Zürich", "Zürich", 900, (0.2, 0.24, 0.22), 0.02),
            ("Київ", "Київ", 480, (0.2, 0.17, 0.18), 0.03),
            ("Łódź", "Łódź", 60, (0.2, 0.3, 0.22), 0.06),
        ],
    ),
}
CATEGORIES = ("Grocery", "Produce", "Meat", "Drug & household", "Deli", "Pastry", "Frozen", "Floral")


def interval(value: float, half: float = 0.005) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def figure(name: str, value: float) -> dict[str, float]:
    """A metric with its interval, which stays within 0 and 1 where the metric is a share."""
    if name in WIDTHS:
        return interval(value, WIDTHS[name])
    return {"value": value, "low": max(0.0, value - 0.005), "high": min(1.0, value + 0.005)}


def lift(over: str, value: float, half: float = 0.005) -> dict[str, Any]:
    return {"over": over, **interval(value, half)}


def evaluation(promote: bool = False) -> dict[str, Any]:
    """evaluation.json with a champion and every baseline."""
    return {
        "format_version": 2,
        "model_version": "1d73a3c9d9db",
        "split": "test",
        "rows": 30758,
        "queries": 2241,
        "customers": 2241,
        "baskets": 7410,
        "training_customers": 2435,
        "known_splits": ["train"],
        "learned_splits": ["train"],
        "catalogue_size": 1500,
        "unseen_products": {"rows": 12, "share": 12 / 30758},
        "unseen_customers": {"rows": 4, "share": 4 / 30758},
        "verdict": {"promote": promote, "reasons": _reasons(promote)},
        "champion": {"model_version": "77ab01c2de34", "products_left_out": 31},
        "metrics": {
            scorer: {name: figure(name, values[i]) for name, values in FIGURES.items()}
            for i, scorer in enumerate(SCORERS)
        },
        "lift": {
            "recall_10": lift("personal_frequency", -0.033, 0.004),
            "recall_100": lift("personal_frequency", -0.080, 0.006),
        },
        "slices": _slices(),
        "baselines_left_out": {},
        "bootstrap": {"replicates": 1000, "level": 0.95, "unit": "customer"},
        "timing": {"seconds": 41.207},
    }


def exhibits(products: int = 60) -> Exhibits:
    """What goes with it, for a catalogue of that many products."""
    lookup = {
        str(300 + i): {
            "art_name": f"Product {i}, {CATEGORIES[category(i)].lower()} {i % 7 + 1}00 g",
            "stratbuy_domain_desc": CATEGORIES[category(i)],
        }
        for i in range(products)
    }
    k = np.arange(1, 101)
    ends = FIGURES["recall_100"]
    return Exhibits(
        curves={scorer: list(ends[i] * np.log1p(k) / np.log1p(100)) for i, scorer in enumerate(SCORERS)},
        coverage={
            "model": [1.0, 0.99, 0.97, 0.93, 0.88, 0.81, 0.73, 0.62, 0.51, 0.38],
            "champion": [1.0, 0.98, 0.96, 0.92, 0.86, 0.79, 0.70, 0.58, 0.46, 0.35],
            "popularity": [0.07, *[0.0] * 9],
            "popularity_by_city": [0.35, 0.06, *[0.0] * 8],
            "personal_frequency": [1.0, 1.0, 1.0, 1.0, 1.0, 0.99, 0.98, 0.97, 0.96, 0.95],
            "ease": [1.0, 1.0, 0.99, 0.97, 0.94, 0.91, 0.85, 0.78, 0.69, 0.61],
        },
        shown={
            "model": [0.58, 0.13, 0.08, 0.06, 0.05, 0.03, 0.03, 0.02, 0.01, 0.01],
            "popularity": [1.0, *[0.0] * 9],
            "personal_frequency": [0.36, 0.14, 0.10, 0.08, 0.07, 0.06, 0.06, 0.05, 0.04, 0.04],
            "purchases": [0.35, 0.14, 0.11, 0.09, 0.08, 0.06, 0.05, 0.05, 0.04, 0.03],
        },
        products=product_map(embeddings(products), list(lookup), lookup),
        customers=[card(i, lookup) for i in range(12)],
        metadata={
            "splits": {
                "train": {"rows": 489006, "first_timestamp": 1483228800, "last_timestamp": 1508198400},
                "validation": {"rows": 91715, "first_timestamp": 1508198400, "last_timestamp": 1513123200},
                "test": {"rows": 30758, "first_timestamp": 1513123200, "last_timestamp": 1514764740},
            },
            "products": lookup,
        },
        model_metadata=model_metadata(),
        versions={"tensorflow": "2.21.0", "keras": "3.15.0", "numpy": "2.3.4", "Python": "3.11.14"},
    )


def category(product: int) -> int:
    """A place in CATEGORIES, the first ones more often."""
    return int(8 * (product * 37 % 100 / 100) ** 2)


def embeddings(products: int, width: int = 32) -> np.ndarray:
    """Clouds around one place per category."""
    rng = np.random.default_rng(3)
    places = rng.normal(size=(8, width)) * np.linspace(1.2, 0.2, width)
    return (places[[category(i) for i in range(products)]] + rng.normal(size=(products, width)) * 0.7).astype(
        np.float32
    )


def card(number: int, lookup: dict[str, dict[str, Any]]) -> dict[str, Any]:
    names = [fields["art_name"] for fields in lookup.values()]
    bought = names[number : number + 14]
    recommended = names[number + 13 - number % 5 : number + 23 - number % 5]
    return {
        "customer": f"{1000 + 7 * number}",
        "training_purchases": 20 + 90 * number,
        "history": [{"name": name, "count": 40 - 3 * i} for i, name in enumerate(names[number : number + 10])],
        "recommended": [{"name": name, "hit": name in bought} for name in recommended],
        "bought": [{"name": name, "count": 1 + i % 3, "hit": name in recommended} for i, name in enumerate(bought)],
        "hits": sum(name in bought for name in recommended),
    }


def model_metadata() -> dict[str, Any]:
    epochs = range(1, 59)
    rise = {epoch: 1 - 0.93**epoch for epoch in epochs}
    return {
        "model_version": "1d73a3c9d9db",
        "training": {
            "chance_loss": 7.313,
            "curve": [
                {
                    "epoch": epoch,
                    "loss": 7.3 - 1.34 * rise[epoch],
                    **{
                        f"validation_recall_{k}": top * rise[epoch]
                        for k, top in ((10, 0.21), (50, 0.405), (100, 0.511))
                    },
                }
                for epoch in epochs
            ],
        },
        "hyperparameters": {
            "embedding_dims": {"customer": "64D", "city": "16D"},
            "batch_size": 4096,
            "loss": "in-batch",
        },
        "feature_config": {
            "query": {
                "layers": [128, 64, 32],
                "features": [
                    {"kind": "id", "name": "cust_person_id", "dim": 64},
                    {"kind": "numeric", "name": "revenue", "transform": "normalize", "buckets": 10},
                ],
            },
            "candidate": {
                "layers": [128, 64, 32],
                "features": [
                    {"kind": "id", "name": "product_id", "dim": 32},
                    {"kind": "cross", "names": ["stratbuy_domain_desc", "mge_main_cat_desc"], "buckets": 1000},
                ],
            },
        },
    }


def metadata_impact() -> dict[str, Any]:
    """What two seeds with and without the product metadata would leave in model_metadata.json."""
    return {
        "removed": ["stratbuy_domain_desc", "mge_main_cat_desc"],
        "seeds": [42, 43],
        "split": "test",
        "improvement_vs_no_metadata": "-0.4%",
        "proves_metadata_value": False,
        "recall_10": {
            "with": 0.205,
            "without": 0.193,
            "difference": interval(0.012, 0.004),
            "per_seed": [0.013, 0.011],
        },
        "recall_100": {
            "with": 0.507,
            "without": 0.509,
            "difference": interval(-0.002, 0.005),
            "per_seed": [0.001, -0.005],
        },
    }


def without(evaluation: dict[str, Any], *scorers: str) -> dict[str, Any]:
    """The evaluation as it is where those scorers were not there; what is left decides the lifts."""
    metrics = {scorer: found for scorer, found in evaluation["metrics"].items() if scorer not in scorers}
    rivals = [scorer for scorer in metrics if scorer not in ("model", "champion")]
    slices = [
        {**part, "metrics": {s: found for s, found in part["metrics"].items() if s in metrics}, "lift": {}}
        for part in evaluation["slices"]
        if part["rows"]
    ]
    changed = {**evaluation, "metrics": metrics, "slices": slices, "lift": {}}
    for part in (changed, *slices):
        for name in ("recall_10", "recall_100") if rivals else ():
            values = {scorer: found[name]["value"] for scorer, found in part["metrics"].items()}
            best = max((scorer for scorer in rivals if scorer in values), key=values.__getitem__)
            part["lift"][name] = lift(best, values["model"] - values[best])
    if "champion" in scorers:
        del changed["champion"]
    return changed


def _reasons(promote: bool) -> list[dict[str, Any]]:
    return [
        {
            "rule": "champion",
            "passed": True,
            "text": "Recall@100 is 0.507, which is +0.010 (+0.006 to +0.014) beside the champion's 0.497.",
        },
        {"rule": "floor", "passed": True, "text": "Recall@100 of 0.507 is above the floor of 0.300."},
        {
            "rule": "baseline",
            "passed": promote,
            "text": "Recall@100 of 0.507 is 0.080 below the best baseline, Personal frequency, which is 0.587.",
        },
        {"rule": "coverage", "passed": True, "text": "78.2% of the catalogue is shown to somebody; 5.0% is asked for."},
    ]


def _slices() -> list[dict[str, Any]]:
    listed = [(group, label, *part) for group, (label, parts) in SLICES.items() for part in parts]
    for i, category in enumerate(CATEGORIES):
        at_10 = (0.21 - 0.01 * i, 0.235 - 0.012 * i, 0.231 - 0.012 * i)
        listed.append(("category", "Category", category, category, 9000 // (i + 1) ** 2, at_10, 0.004 * (i + 1)))
    return [_slice(*part) for part in listed]


def _slice(
    group: str, group_label: str, name: str, label: str, rows: int, at_10: tuple[float, ...], half: float
) -> dict[str, Any]:
    """A slice whose Recall@10 is given for the model, personal frequency and EASE; Recall@100 is 0.3 higher."""
    head = {"group": group, "group_label": group_label, "name": name, "label": label}
    found = dict(zip(("model", "personal_frequency", "ease"), at_10, strict=False))
    part: dict[str, Any] = {
        **head,
        "rows": rows,
        "customers": rows // 14,
        "share": rows / 30758,
        "small": rows < 100,
    }
    if rows:
        best = max(("personal_frequency", "ease"), key=lambda scorer: found[scorer])
        part["metrics"] = {
            scorer: {"recall_10": interval(value, half), "recall_100": interval(value + 0.3, half)}
            for scorer, value in found.items()
        }
        part["lift"] = {key: lift(best, found["model"] - found[best], half) for key in ("recall_10", "recall_100")}
    return part
