"""One self-contained HTML page: the verdict, figures beside baselines, slices, curves, products and customers."""

from pathlib import Path
from typing import Any, NamedTuple

from components.common import page, schema
from components.common.evaluation import FEWEST_CUSTOMERS
from components.evaluator import findings, labels, tables
from components.evaluator.embedding_map import ProductMap
from components.evaluator.plots import curves, products
from components.evaluator.slices import FEWEST_ROWS

TEMPLATE = Path(__file__).with_name("report.html.j2")
COMPARED = ("recall_10", "recall_100")  # in the slices, unless the evaluation compares by others


class Exhibits(NamedTuple):
    """What the page shows beside the figures of evaluation.json.

    Attributes:
        curves: Scorer to Recall@1, @2, … up to 100.
        coverage: Scorer to the share, per tenth of the catalogue from the most to the least bought, of its products
            that are in at least one customer's top ten; fewer entries for fewer than ten products.
        shown: Scorer to the share of all places in the top tens that goes to each tenth; of the split's purchases too,
            as "purchases".
        products: What `embedding_map.product_map` makes of the candidate embeddings.
        customers: Cards of `customers.pick`.
        metadata: Of metadata.json what the page shows: splits, none where nobody split the rows before, and products.
        model_metadata: model_metadata.json.
        versions: Package to version.
    """

    curves: dict[str, list[float]]
    coverage: dict[str, list[float]]
    shown: dict[str, list[float]]
    products: ProductMap | None
    customers: list[dict[str, Any]]
    metadata: dict[str, Any]
    model_metadata: dict[str, Any]
    versions: dict[str, str]


def render(evaluation: dict[str, Any], exhibits: Exhibits) -> str:
    """The page as text. Every name in it comes from data and is escaped.

    Args:
        evaluation: evaluation.json.
        exhibits: The rest.
    """
    metadata, of_model = exhibits.metadata, exhibits.model_metadata
    compared = list(evaluation["lift"]) or [name for name in COMPARED if name in evaluation["metrics"]["model"]]
    impact = of_model.get("metadata_impact")
    return page.render(
        TEMPLATE,
        evaluation=evaluation,
        said=findings.headline(evaluation),
        scorers=[labels.scorer(name) for name in evaluation["metrics"]],
        left_out={labels.scorer(name).label: why for name, why in evaluation["baselines_left_out"].items()},
        accuracy=tables.figures(evaluation["metrics"], "purchase", "basket"),
        variety=tables.figures(evaluation["metrics"], "variety"),
        recall=curves.recall(exhibits.curves) if exhibits.curves else None,
        compared=[labels.metric(name) for name in compared],
        slices=tables.slices(evaluation, compared),
        said_of_slices=[findings.of_slices(evaluation["slices"], name) for name in evaluation["lift"]],
        too_small=(FEWEST_ROWS, FEWEST_CUSTOMERS),
        training=curves.training(of_model.get("training", {})),
        impact=impact,
        of_impact=[_impact(name, found) for name, found in (impact or {}).items() if name.startswith("recall_")],
        variety_plots=curves.variety(exhibits.coverage, exhibits.shown),
        map=products.draw(exhibits.products) if exhibits.products else None,
        map_caption=products.caption(exhibits.products) if exhibits.products else "",
        customers=exhibits.customers,
        splits={name: metadata["splits"][name] for name in schema.SPLITS if name in metadata["splits"]},
        products=len(metadata["products"]),
        towers=_towers(of_model.get("feature_config", {})),
        hyperparameters=_flat(of_model.get("hyperparameters", {})),
        versions=exhibits.versions,
    )


def _impact(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """One row of the table of what the product metadata are worth."""
    difference = found["difference"]
    reach = max(abs(difference[end]) for end in ("low", "high")) or 1.0
    standing = findings.standing(difference)
    return {
        "label": labels.metric(name).label,
        "with": found["with"],
        "without": found["without"],
        "difference": difference,
        "said": findings.of_impact(name, difference),
        "standing": standing,
        "whisker": tables.whisker(difference, reach, standing),
    }


def _towers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The feature config for reading: per tower its name, layers and features."""
    return [
        {
            "name": f"{name.capitalize()} tower",
            "layers": " → ".join(str(width) for width in tower.get("layers", [])),
            "features": [_feature(entry) for entry in tower.get("features", [])],
        }
        for name, tower in config.items()
    ]


def _feature(entry: dict[str, Any]) -> dict[str, str]:
    names = entry.get("names", ["what the customer bought before"])  # a history has none
    name = entry.get("name") or " \N{MULTIPLICATION SIGN} ".join(names)
    rest = {key: value for key, value in entry.items() if key not in ("name", "names")}
    kind = rest.pop("kind")
    if rest.get("transform") == "normalize":
        rest = {"transform": "normalize"}  # the config's other defaults say nothing about it
    return {"name": name, "kind": kind, "detail": ", ".join(f"{key} {_text(value)}" for key, value in rest.items())}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    rows: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            rows |= _flat(value, f"{prefix}{key} · ")
        else:
            rows[f"{prefix}{key}"] = _text(value)
    return rows


def _text(value: object) -> str:
    return ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)
