"""`make run`: the compiled pipeline on a grocer's purchase log, here, from raw tables to recommendations."""

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NoReturn

from rich.console import Console
from rich.table import Table

from components.common import cli
from components.common.errors import InputError
from demo import recommendations
from demo.data import prepare
from demo.models import EVALUATION, EXAMPLES, MODEL, RELEASE, Models, relative
from pipelines import process_group
from pipelines.console import Steps
from pipelines.local import StepError
from trainer_image.options import KS, Options, within

LOOK = 0.1  # seconds between two looks at how far a run is


def run(
    *,
    folder: str = "runs/demo",
    data: str = ".cache/demo",
    split: Literal["temporal", "random"] = "temporal",
    revenue_as_of: Literal["purchase", "training"] = "training",
    households: int = 0,
    catalogue_size: int = 1500,
    epochs: int = Options.epochs,
    batch_size: int = Options.batch_size,
    learning_rate: float = Options.learning_rate,
    warmup_steps: int = Options.warmup_steps,
    seed: int = Options.seed,
    config: Literal["both", "history", "default"] = "both",
    champion: str = "",
    reuse: str = "",
    refit: bool = False,
    ablate: bool = False,
    docker: bool = False,
) -> None:
    """Prepares the demo data, compiles the pipeline, runs it here and shows what came out.

    Two models are made of the same data: one with the default feature config, which becomes the champion, and one with
    the towers that know the customer's history, which has to do better. The second report shows both.

    Args:
        folder: Where the artifacts go; every run gets a folder of its own in it, with a log of every step.
        data: Where the two Parquet tables are kept between runs.
        split: temporal or random.
        revenue_as_of: What the model knows of a household's spending: with training, its total of the whole training
            period, one number in all its rows; with purchase, what it had spent before each purchase.
        households: Use this many households only, for a quick try; 0 uses all 2,469.
        catalogue_size: Recommend the products bought by the most households.
        epochs: Passes over the training rows, at most.
        batch_size: Rows a step.
        learning_rate: Of Adam, after the warm-up.
        warmup_steps: Steps over which the learning rate rises to its value; at most a tenth of all.
        seed: The same seed gives the same model.
        config: history and default make one model, with this feature config.
        champion: model/ of an earlier run; this run's is released if it is not worse by more than the gate's margin.
            With both it takes the default model's place.
        reuse: The folder of an earlier run, to begin with its examples and vocabularies in place of the tables.
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
    steps = Steps(console)
    models = Models(steps, parameters, data, docker, reuse)
    with explained(models), recommendations.ready() as ask:
        with steps.shown():
            if config == "both" and not champion:
                made = both(models, folder)
            else:
                made = models.make(folder, "default" if config == "default" else "history", champion)
        evaluation = read(made / EVALUATION / "evaluation.json")
        console.print(recall_table(evaluation))
        if ablate:
            console.print(impact_table(read(made / MODEL / "model_metadata.json")["metadata_impact"]))
        show_verdict(console, evaluation["verdict"])
        if evaluation["verdict"]["promote"]:
            show_recommendations(console, ask(str(made / RELEASE), str(made / EXAMPLES)))
    console.print(f"\ndata      {relative(made / EXAMPLES)}/data_report.html")
    console.print(f"model     {relative(made / MODEL)}")
    console.print(f"release   {relative(made / RELEASE)}")
    console.print(f"report    {relative(made / EVALUATION)}/report.html")
    console.print(f"\ndone in {(time.monotonic() - started) / 60:.1f} minutes: {steps.times()}")


def both(models: Models, folder: str) -> Path:
    """Makes the default model and, on its data, the one with a history; returns the folder of that one's run.

    The second is trained beside the first, its champion: a training leaves most of a core free.
    """
    with ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(models.make, f"{folder}/default", "default", "")

            def wait(is_there: Callable[[], bool]) -> Path:
                while not (is_there() or first.done()):
                    time.sleep(LOOK)
                return models.folders[0] if is_there() else first.result()

            wait(models.has_data)
            second = models.make_beside(folder, "history", lambda: wait(models.has_model) / MODEL)
            first.result()
        except BaseException:
            process_group.end_all()  # what the other thread has started
            raise
    return second


@contextlib.contextmanager
def explained(models: Models) -> Iterator[None]:
    """Ends the program, in words, where a step fails, and at Ctrl-C and SIGTERM, when all processes have ended."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except StepError as error:
        log = [f"log       {relative(error.log)}"] if error.log else []
        if error.bad_input:
            end(cli.BAD_INPUT, f"error: {error}", *log)
        end(1, f"{error.step} failed; its last lines:", *error.said, *log, *models.left(sys.argv[1:]))
    except KeyboardInterrupt as error:
        number = error.args[0] if error.args else signal.SIGINT
        end(128 + number, "ended, with all its processes", *models.left(sys.argv[1:]))
    finally:
        signal.signal(signal.SIGTERM, before)


def end(code: int, *lines: str) -> NoReturn:
    print(*lines, sep="\n", file=sys.stderr)
    sys.exit(code)


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


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


def show_recommendations(console: Console, found: recommendations.Recommendations) -> None:
    """Products that the released model recommends to a few households."""
    for household, products in found.items():
        console.print(f"\nhousehold {household}", style="bold")
        for name, kind in products:
            console.print(f"  {name}  ({kind})", markup=False)


if __name__ == "__main__":
    try:
        cli.run(run)
    except KeyboardInterrupt:  # before anything was begun
        sys.exit(128 + signal.SIGINT)
