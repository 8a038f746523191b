"""One self-contained HTML page: figures beside baselines, curves, example customers, data and settings."""

from pathlib import Path
from typing import Any

from components.common import page, schema
from components.evaluator import plots

TEMPLATE = Path(__file__).with_name("report.html.j2")
LABELS = {"model": "This model", "popularity": "Popularity", "personal_frequency": "Personal frequency"}
EXPLAINED = {
    "popularity": "everybody is shown what sold most in training",
    "personal_frequency": "everybody is shown what they bought most in training, then what sold most",
}


def render(
    evaluation: dict[str, Any],
    curves: dict[str, list[float]],
    customers: list[dict[str, Any]],
    metadata: dict[str, Any],
    model_metadata: dict[str, Any],
) -> str:
    """The page as text. Every name in it comes from data and is escaped.

    Args:
        evaluation: evaluation.json.
        curves: Scorer to Recall@1, @2, …
        customers: Cards of `customers.pick`.
        metadata: metadata.json of the examples.
        model_metadata: model_metadata.json.
    """
    figures = [plots.recall_curves(curves, LABELS), *plots.training(model_metadata.get("training", {}))]
    return page.render(
        TEMPLATE,
        evaluation=evaluation,
        labels=LABELS,
        explained=EXPLAINED,
        best={k: max(found[k] for found in evaluation["recall"].values()) for k in evaluation["recall"]["model"]},
        plots=figures,
        customers=customers,
        splits={name: metadata["splits"][name] for name in schema.SPLITS if name in metadata["splits"]},
        products=len(metadata["products"]),
        towers=_towers(model_metadata.get("feature_config", {})),
        hyperparameters=_flat(model_metadata.get("hyperparameters", {})),
    )


def _towers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The feature config for reading: per tower its name, layers and features."""
    return [
        {
            "name": f"{name.capitalize()} tower",
            "layers": " → ".join(str(width) for width in tower["layers"]),
            "features": [_feature(entry) for entry in tower["features"]],
        }
        for name, tower in config.items()
    ]


def _feature(entry: dict[str, Any]) -> dict[str, str]:
    name = entry.get("name") or " \N{MULTIPLICATION SIGN} ".join(entry["names"])
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
