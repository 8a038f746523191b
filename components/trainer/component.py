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
    temperature: float = 1.0,
    l1: float = 1e-6,
    patience: int = 10,
    top_k: int = 100,
    seed: int = 42,
    warm_start_from: str = "",
    checkpoint_path: str = "",
    precision: str = "float32",
    jit_compile: bool = False,
    history_through: str = "validation",
    refit: bool = False,
    ablate: bool = False,
    ablation_seeds: int = 3,
    mix: bool = False,
):
    """Trains the two-tower retrieval model on all GPUs of the machine.

    A retried task continues where the last one ended: the checkpoints are in the run's folder, not in the task's.

    Args:
        examples: The DataExtractor's train, validation and test examples, or a folder of shards that nobody split.
        vocabularies: The VocabBuilder's vocabularies.json.
        feature_config: The feature config's text, YAML or JSON.
        model: saved_model/, query_model/, candidate_model/, logs/ and model_metadata.json.
        metrics: Validation and test Recall@k, and the epoch of the best weights; with ablate, what the metadata added.
        epochs: Passes over the training rows, at most; training stops early on validation Recall.
        batch_size: Rows a step, per replica.
        learning_rate: Of Adam, on one replica, after the warm-up.
        lr_scaling: How the learning rate grows with replicas: sqrt, linear or none.
        warmup_steps: Steps over which the learning rate rises to its value; at most a tenth of all.
        loss: auto, full-catalogue or in-batch.
        temperature: The logits are divided by it in training.
        l1: L1 penalty on the towers' Dense kernels.
        patience: Epochs after the warm-up without a better validation Recall before training stops.
        top_k: How many products saved_model returns.
        seed: The same seed gives the same model.
        warm_start_from: model/ of an earlier run, with whatever vocabulary, whose weights to begin with.
        checkpoint_path: A folder for checkpoints; by default checkpoints/ in the run's folder.
        precision: float32 or bfloat16, of the towers' arithmetic.
        jit_compile: Compile forward and backward pass with XLA.
        history_through: The last split whose purchases the finished model knows, with a history: train or validation.
        refit: Train once more on train and validation together, for as many epochs as were best.
        ablate: Train again without category, subcategory and their crosses, and say what difference they make.
        ablation_seeds: How many seeds to compare, with and without them.
        mix: The vocabularies may be of other examples than these.
    """
    from components.images import location, run_folder
    from trainer_image.options import Options
    from trainer_image.train import train

    # kfp.local hands numbers such as 1e-06 on as text.
    learning_rate, temperature, l1 = float(learning_rate), float(temperature), float(l1)
    options = Options(
        tfrecords_path=location(examples),
        vocabularies_path=location(vocabularies),
        output_path=location(model),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        lr_scaling=lr_scaling,  # type: ignore[arg-type]  # train checks the text
        warmup_steps=warmup_steps,
        feature_config=feature_config,
        loss=loss,  # type: ignore[arg-type]
        temperature=temperature,
        l1=l1,
        patience=patience,
        top_k=top_k,
        seed=seed,
        warm_start_from=warm_start_from,
        checkpoint_path=checkpoint_path or f"{run_folder(model)}/checkpoints",
        precision=precision,  # type: ignore[arg-type]
        jit_compile=jit_compile,
        history_through=history_through,  # type: ignore[arg-type]
        refit=refit,
        ablate=ablate,
        ablation_seeds=ablation_seeds,
        mix=mix,
    )
    document = train(options)
    measured = document["metrics"]
    metrics.log_metric("best_epoch", measured["best_epoch"])
    for name, value in {**measured["validation_metrics"], **measured["test_metrics"]}.items():
        metrics.log_metric(name, value)
    for name, impact in document.get("metadata_impact", {}).items():
        if name.startswith("recall_"):
            metrics.log_metric(f"metadata_impact_{name}", impact["difference"]["value"])
    model.metadata["model_version"] = document["model_version"]
