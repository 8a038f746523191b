"""Trainer: examples and vocabularies in, a two-tower model out."""

from kfp import dsl

from components.images import TRAINER_IMAGE


@dsl.component(base_image=TRAINER_IMAGE, install_kfp_package=False)
def trainer(
    examples: dsl.Input[dsl.Dataset],
    vocabularies: dsl.Input[dsl.Artifact],
    feature_config: str,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    epochs: int = 150,
    batch_size: int = 4096,
    learning_rate: float = 0.001,
    lr_scaling: str = "sqrt",
    warmup_steps: int = 1000,
    loss: str = "auto",
    top_k: int = 100,
    seed: int = 42,
):
    """Trains the two-tower retrieval model on all GPUs of the machine.

    Args:
        examples: The DataExtractor's train, validation and test examples.
        vocabularies: The VocabBuilder's vocabularies.json.
        feature_config: The feature config's text, YAML or JSON.
        model: saved_model/, query_model/, candidate_model/, logs/ and model_metadata.json.
        metrics: Validation and test Recall@k, and the epoch of the best weights.
        epochs: Passes over the training rows, at most; training stops early on validation Recall.
        batch_size: Rows a step, per replica.
        learning_rate: Of Adam, on one replica, after the warm-up.
        lr_scaling: How the learning rate grows with replicas: sqrt, linear or none.
        warmup_steps: Steps over which the learning rate rises to its value.
        loss: auto, full-catalogue or in-batch.
        top_k: How many products saved_model returns.
        seed: The same seed gives the same model.
    """
    from components.images import location
    from trainer_image.train import train

    folder = location(examples)
    document = train(
        tfrecords_path=folder,
        vocabularies_path=location(vocabularies),
        metadata_path=f"{folder}/metadata.json",
        output_path=location(model),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        lr_scaling=lr_scaling,  # type: ignore[arg-type]  # train checks the text
        warmup_steps=warmup_steps,
        feature_config=feature_config,
        loss=loss,  # type: ignore[arg-type]
        top_k=top_k,
        seed=seed,
    )
    measured = document["metrics"]
    metrics.log_metric("best_epoch", measured["best_epoch"])
    for name, value in {**measured["validation_metrics"], **measured["test_metrics"]}.items():
        metrics.log_metric(name, value)
    model.metadata["model_version"] = document["model_version"]
