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
    project: str = "",
    region: str = "",
    model_name: str = "",
    serving_image: str = "",
    endpoint_name: str = "",
    traffic: int = 100,
    serving_machine: str = "n1-standard-4",
    serving_account: str = "",
    index_name: str = "",
    index_endpoint_name: str = "",
    staging: str = "",
    mix: bool = False,
) -> None:
    """Builds the served model from the Trainer's towers, proves it on the test split, and releases it.

    It obeys the evaluation's verdict: after a no, the release holds release.json alone, which says so. What is named
    by a parameter is then done on Vertex AI; by default nothing is sent.

    Args:
        model: The Trainer's model.
        examples: The DataExtractor's examples.
        evaluation: The Evaluator's evaluation of this model.
        release: saved_model/, embeddings/ and index.json for Vertex AI Vector Search, release.json.
        metrics: Whether the model was promoted, and what the proof covered.
        project: Google Cloud project whose Vertex AI gets the release.
        region: Vertex AI's region, for example europe-west3.
        model_name: The model's id in the Model Registry, where the release becomes a version; "" registers nothing.
        serving_image: The container that serves it, with its registry: metro-recs/serving or a prebuilt TensorFlow one.
        endpoint_name: Display name of the endpoint that the version is deployed to; "" deploys nowhere.
        traffic: Percent of the endpoint's requests that the new version gets.
        serving_machine: Machine type that serves it.
        serving_account: Service account of the serving containers; by default Vertex AI's own.
        index_name: Display name of the Vector Search index that gets the embeddings; "" fills none.
        index_endpoint_name: Display name of the index endpoint; "" deploys the index nowhere.
        staging: gs://BUCKET/PATH to copy a release to that is in no bucket.
        mix: The model may be of other examples than these: an old model on new data.
    """
    from components.exporter.export import export
    from components.exporter.vertex.publish import publish
    from components.exporter.vertex.release import finished
    from components.images import location

    folder = location(release)
    # A retry of a task whose release was made, but not sent, goes on with that release.
    document = finished(folder, location(model), location(evaluation)) or export(
        model=location(model),
        examples=location(examples),
        evaluation=location(evaluation),
        output_path=folder,
        mix=mix,
    )
    promoted = document["verdict"]["promote"]
    metrics.log_metric("promoted", int(promoted))
    release.metadata["promoted"] = str(promoted).lower()
    for name, value in document.get("verification", {}).items():
        metrics.log_metric(name, value)
    release.metadata["model_version"] = document["model_version"]
    made = publish(
        document,
        folder=folder,
        project=project,
        region=region,
        model_name=model_name,
        serving_image=serving_image,
        endpoint_name=endpoint_name,
        traffic=traffic,
        serving_machine=serving_machine,
        serving_account=serving_account,
        index_name=index_name,
        index_endpoint_name=index_endpoint_name,
        staging=staging,
    )
    release.metadata.update(made)
