"""Exporter: a model and its evaluation in, a proven release out."""

from kfp import dsl

from components.images import TRAINER_IMAGE


@dsl.component(base_image=TRAINER_IMAGE, install_kfp_package=False)
def exporter(
    model: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    evaluation: dsl.Input[dsl.Artifact],
    release: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Builds the served model from the Trainer's towers, proves it on the test split, and releases it.

    It obeys the evaluation's verdict: after a no, the release holds release.json alone, which says so.

    Args:
        model: The Trainer's model.
        examples: The DataExtractor's examples.
        evaluation: The Evaluator's evaluation of this model.
        release: saved_model/, embeddings/ and index.json for Vertex AI Vector Search, release.json.
        metrics: Whether the model was promoted, and what the proof covered.
    """
    from components.exporter.export import export
    from components.images import location

    document = export(
        model=location(model),
        examples=location(examples),
        evaluation=location(evaluation),
        output_path=location(release),
    )
    promoted = document["verdict"]["promote"]
    metrics.log_metric("promoted", int(promoted))
    release.metadata["promoted"] = str(promoted).lower()
    for name, value in document.get("verification", {}).items():
        metrics.log_metric(name, value)
    release.metadata["model_version"] = document["model_version"]
