"""Evaluator: a model and the rows it never saw in, exact figures, a verdict and a report out."""

from kfp import dsl

from components.images import TRAINER_IMAGE


@dsl.component(base_image=TRAINER_IMAGE, install_kfp_package=False)
def evaluator(
    model: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    vocabularies: dsl.Input[dsl.Artifact],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    champion: str = "",
    ks: list = [5, 10, 50, 100],  # noqa: B006  KFP wants a list, and never calls this function twice
    must_beat: str = "popularity",
    margin: float = 0.01,
    slice_margin: float = 0.05,
    min_coverage: float = 0.01,
    floors: dict = {},  # noqa: B006
    mix: bool = False,
) -> None:
    """Ranks the whole catalogue for every test row, beside baselines and the champion, and decides on promotion.

    Args:
        model: The Trainer's model.
        examples: The DataExtractor's examples; the test split is ranked; the baselines know
            what the model knows: the train split, with a history the validation split too.
        vocabularies: The VocabBuilder's vocabularies.json.
        evaluation: evaluation.json and report.html.
        metrics: Every figure of the model, the others' Recall@k, the verdict and its reasons.
        report: The report, for the console.
        champion: model/ of the model in production, scored on the same purchases; "" where there is none.
        ks: Cut-offs of Recall@k; the gate looks at the largest.
        must_beat: The baseline to beat: popularity, popularity_by_city, personal_frequency, ease, best or none.
        margin: Recall may be this much below the champion's, at the lower end of the difference's 95% interval.
        slice_margin: In no slice may Recall clearly be further than this below the champion's.
        min_coverage: The least share of the catalogue that must be in at least one customer's first ten.
        floors: The least Recall in slices, for example {"all": 0.2, "history.explore": 0.02}.
        mix: The model, or the vocabularies, may be of other examples than these: an old model on new data.
    """
    from components.common import storage
    from components.evaluator.evaluate import REPORT, evaluate
    from components.images import location

    folder = location(evaluation)
    document = evaluate(
        model=location(model),
        examples=location(examples),
        vocabularies=location(vocabularies),
        output_path=folder,
        champion=champion,
        ks=tuple(int(k) for k in ks),
        must_beat=must_beat,  # type: ignore[arg-type]  # evaluate checks the text
        margin=margin,
        slice_margin=slice_margin,
        min_coverage=min_coverage,
        floors=floors,
        mix=mix,
    )
    for scorer, figures in document["metrics"].items():
        for name, figure in figures.items():
            if scorer == "model":
                metrics.log_metric(name, figure["value"])
            elif name.startswith("recall_"):
                metrics.log_metric(f"{scorer}_{name}", figure["value"])
    verdict = document["verdict"]
    metrics.log_metric("promote", int(verdict["promote"]))
    for number, reason in enumerate(verdict["reasons"], 1):
        metrics.metadata[f"reason_{number}"] = f"{'yes' if reason['passed'] else 'no'}: {reason['text']}"
    with open(report.path, "w", encoding="utf-8") as file:
        file.write(storage.read_text(storage.join(folder, REPORT), "the report"))
