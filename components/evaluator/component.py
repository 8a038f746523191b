"""Evaluator: a model and the rows it never saw in, exact Recall@k and a report out."""

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
    ks: list = [5, 10, 50, 100],  # noqa: B006  KFP wants a list, and never calls this function twice
) -> None:
    """Ranks the whole catalogue for every test row: Recall@k of the model beside baselines on the same rows.

    Args:
        model: The Trainer's model.
        examples: The DataExtractor's examples; the test split is ranked, the train split feeds the baselines.
        vocabularies: The VocabBuilder's vocabularies.json.
        evaluation: evaluation.json and report.html.
        metrics: Recall@k of the model, of popularity and of personal frequency.
        report: The report, for the console.
        ks: Cut-offs of Recall@k.
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
        ks=tuple(int(k) for k in ks),
    )
    for scorer, recall in document["recall"].items():
        for k, value in recall.items():
            metrics.log_metric(f"recall_{k}" if scorer == "model" else f"{scorer}_recall_{k}", value)
    with open(report.path, "w", encoding="utf-8") as file:
        file.write(storage.read_text(storage.join(folder, REPORT), "the report"))
