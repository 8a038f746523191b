"""VocabBuilder: train examples in, vocabularies and numeric statistics out."""

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def vocab_builder(
    examples: dsl.Input[dsl.Dataset],
    feature_config: str,
    vocabularies: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    beam_options: str = "",
):
    """Counts the tokens and measures the numbers of the train split.

    Args:
        examples: The DataExtractor's examples; only the train split is read.
        feature_config: The feature config's text, YAML or JSON.
        vocabularies: vocabularies.json: tokens with counts, numeric statistics with quantiles.
        metrics: Train rows, and the size of every vocabulary.
        beam_options: Apache Beam options; "" runs in one process, --runner=DataflowRunner needs what README.md lists.
    """
    from components.images import location
    from components.vocab_builder.build import build_vocabularies

    document = build_vocabularies(
        examples=location(examples),
        feature_config=feature_config,
        output_path=location(vocabularies),
        beam_options=beam_options,
    )
    metrics.log_metric("train_rows", document["rows"])
    for name, feature in document["features"].items():
        if "tokens" in feature:
            metrics.log_metric(f"{name}_tokens", len(feature["tokens"]))
