"""`make run`: the compiled pipeline on a grocer's purchase log, here, from raw tables to recommendations."""

import json
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

import compile as compiler
from components.common import cli, examples, saved_models, schema, storage
from components.common.errors import InputError
from demo.data import prepare
from pipelines import local
from trainer_image.options import KS, within

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = {"default": "feature_config.yaml", "history": "feature_config_history.yaml"}
SHOWN_HOUSEHOLDS, SHOWN_PRODUCTS = 3, 5


def run(
    *,
    folder: str = "runs/demo",
    data: str = ".cache/demo",
    split: Literal["temporal", "random"] = "temporal",
    revenue_as_of: Literal["purchase", "training"] = "training",
    households: int = 0,
    catalogue_size: int = 1500,
    epochs: int = 60,
    batch_size: int = 4096,
    learning_rate: float = 0.004,
    warmup_steps: int = 1000,
    seed: int = 42,
    config: Literal["both", "history", "default"] = "both",
    champion: str = "",
    refit: bool = False,
    ablate: bool = False,
    docker: bool = False,
) -> None:
    """Prepares the demo data, compiles the pipeline, runs it here and shows what came out.

    The pipeline runs twice: with the default feature config, whose model becomes the champion, and with the towers that
    know the customer's history, which have to do better. The second report shows both.

    Args:
        folder: Where the artifacts go; every run gets a folder of its own in it.
        data: Where the two Parquet tables are kept between runs.
        split: temporal or random.
        revenue_as_of: What the model knows of a household's spending: with training, its total of the whole training
            period, one number in all its rows; with purchase, what it had spent before each purchase.
        households: Use this many households only, for a quick try; 0 uses all 2,469.
        catalogue_size: Recommend the products bought by the most households.
        epochs: Passes over the training rows, at most.
        batch_size: Rows a step.
        learning_rate: Of Adam, after the warm-up.
        warmup_steps: Steps over which the learning rate rises to its value.
        seed: The same seed gives the same model.
        config: history and default run the pipeline once, with this feature config.
        champion: model/ of an earlier run; this run's is released if it is not worse by more than the gate's margin.
            With both it takes the default model's place.
        refit: Train once more on training and validation split together, for as many epochs as were best.
        ablate: Train again without category, subcategory and their cross, with three seeds, and show what difference
            they make. Takes six trainings.
        docker: Run each component in its container image, which `make images` builds, instead of as a process.
    """
    if refit and ablate:
        raise InputError("--refit", "--ablate too", "one of the two: the ablation is of one model", "Leave one out.")
    console = Console(highlight=False, soft_wrap=True)
    started = time.monotonic()
    ks = within(catalogue_size) if catalogue_size else list(KS)
    purchases, products = prepare(f"{data}/{households or 'all'}", households)
    parameters = {
        "purchases": str(Path(purchases).resolve()),
        "products": str(Path(products).resolve()),
        "split": split,
        "revenue_as_of": revenue_as_of,
        "catalogue_size": catalogue_size,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "warmup_steps": warmup_steps,
        "top_k": max(ks),
        "ks": ks,
        "seed": seed,
        "refit": refit,
        "ablate": ablate,
    }
    if config == "both" and not champion:
        console.print("the default feature config, whose model is the champion", style="bold")
        champion = run_pipeline(f"{folder}/default", CONFIGS["default"], parameters, "", data, docker)["trainer.model"]
        console.print(f"\nthe towers that know the customer's history: {CONFIGS['history']}", style="bold")
    chosen = CONFIGS["default" if config == "default" else "history"]
    artifacts = run_pipeline(folder, chosen, parameters, champion, data, docker)
    evaluation = json.loads(Path(artifacts["evaluator.evaluation"], "evaluation.json").read_text(encoding="utf-8"))
    console.print(recall_table(evaluation))
    if ablate:
        model = json.loads(Path(artifacts["trainer.model"], "model_metadata.json").read_text(encoding="utf-8"))
        console.print(impact_table(model["metadata_impact"]))
    show_verdict(console, evaluation["verdict"])
    if evaluation["verdict"]["promote"]:
        show_recommendations(console, artifacts["exporter.release"], artifacts["data-extractor.examples"])
    console.print(f"\ndata      {artifacts['data-extractor.examples']}/data_report.html")
    console.print(f"model     {artifacts['trainer.model']}")
    console.print(f"release   {artifacts['exporter.release']}")
    console.print(f"report    {artifacts['evaluator.evaluation']}/report.html")
    console.print(f"\ndone in {(time.monotonic() - started) / 60:.1f} minutes")


def run_pipeline(
    folder: str, config: str, parameters: dict[str, Any], champion: str, data: str, docker: bool
) -> dict[str, str]:
    """Compiles the pipeline and runs it; returns its artifacts' paths, and ends the program where a component fails."""
    spec = Path(folder, "pipeline.json")
    spec.parent.mkdir(parents=True, exist_ok=True)
    storage.write_json(str(spec), compiler.spec())
    given = {
        **parameters,
        "feature_config": (ROOT / config).read_text(encoding="utf-8"),
        "champion": champion and str(Path(champion).resolve()),
    }
    readable = tuple(str(Path(path).resolve()) for path in (data, champion) if path)
    try:
        return local.run(str(spec), folder, given, docker=docker, readable=readable)
    except RuntimeError as error:  # kfp.local's
        sys.exit(f"error: {error} What the component itself said is above.")


def recall_table(evaluation: dict[str, Any]) -> Table:
    """Recall@k of the model beside the baselines, on the same rows."""
    rows, catalogue = evaluation["rows"], evaluation["catalogue_size"]
    table = Table(title=f"Recall on {rows:,} {evaluation['split']} purchases, {catalogue:,} products")
    table.add_column("")
    recalls = [metric for metric in evaluation["metrics"]["model"] if metric.startswith("recall_")]
    for metric in recalls:
        table.add_column(f"@{metric.removeprefix('recall_')}", justify="right")
    for scorer, figures in evaluation["metrics"].items():
        style = "bold" if scorer == "model" else None
        table.add_row(scorer.replace("_", " "), *(f"{figures[metric]['value']:.3f}" for metric in recalls), style=style)
    return table


def show_verdict(console: Console, verdict: dict[str, Any]) -> None:
    """Whether the model is released, and why."""
    console.print("\nreleased" if verdict["promote"] else "\nnot released", style="bold")
    for reason in verdict["reasons"]:
        console.print(f"  {'✓' if reason['passed'] else '✗'} {reason['text']}", markup=False)


def impact_table(impact: dict[str, Any]) -> Table:
    """Recall@k with and without the metadata, and the difference, over all seeds."""
    table = Table(title=f"What {', '.join(impact['removed'])} add, {len(impact['seeds'])} seeds")
    for column in ("", "with", "without", "difference", "95% interval"):
        table.add_column(column, justify="right")
    for name, found in impact.items():
        if name.startswith("recall_"):
            change = found["difference"]
            interval = f"{change['low']:+.4f} to {change['high']:+.4f}"
            k, figures = name.removeprefix("recall_"), (f"{found[which]:.4f}" for which in ("with", "without"))
            table.add_row(f"@{k}", *figures, f"{change['value']:+.4f}", interval)
    return table


def show_recommendations(console: Console, release: str, folder: str) -> None:
    """Asks the released model, as a shop would: raw customer features in, products by name out."""
    model = saved_models.SavedModel(release, saved_models.RETRIEVAL_MODEL)
    columns = {column: kind for column, kind in model.columns.items() if column not in schema.REQUEST}
    rows = examples.read(examples.shards(storage.join(folder, "test")), {**columns, schema.CUSTOMER: "string"})
    _, first = np.unique(rows[schema.CUSTOMER], return_index=True)
    chosen = first[np.linspace(0, len(first) - 1, SHOWN_HOUSEHOLDS).astype(int)]
    shown = {name: column[chosen] for name, column in rows.items()}
    found = model({**shown, "k": np.array([SHOWN_PRODUCTS], np.int32)})
    for household, names, kinds in zip(
        shown[schema.CUSTOMER], found["product_names"], found["subcategories"], strict=True
    ):
        console.print(f"\nhousehold {household.decode()}", style="bold")
        for name, kind in zip(names, kinds, strict=True):
            console.print(f"  {name.decode()}  ({kind.decode()})", markup=False)


if __name__ == "__main__":
    cli.run(run)
