"""DataExtractor: a purchase log in, train, validation and test examples out."""

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def data_extractor(
    purchases: str,
    products: str,
    feature_config: str,
    examples: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    split: str = "temporal",
    train_share: float = 0.8,
    validation_share: float = 0.15,
    catalogue_size: int = 0,
    min_purchases: int = 1,
    project: str = "",
    temp_dataset: str = "",
    beam_options: str = "",
):
    """Queries the purchase log once, splits it and writes TFRecords of tf.train.Example.

    Args:
        purchases: The purchase log: a BigQuery table (project.dataset.table) or a Parquet path.
        products: The product table, of the same sort.
        feature_config: The feature config's text, YAML or JSON.
        examples: train/, validation/ and test/ shards, and metadata.json with the product lookup.
        metrics: Rows per split, and products in the catalogue.
        split: temporal, or random by a stable hash.
        train_share: Share of the rows that go to training.
        validation_share: Share of the rows that go to validation; the rest is the test split.
        catalogue_size: Keep the products bought by the most customers; 0 keeps all.
        min_purchases: Keep only products bought at least this often.
        project: Google Cloud project that pays for the query.
        temp_dataset: BigQuery dataset (project.dataset) for the query's temporary result.
        beam_options: Apache Beam options, for example --runner=DataflowRunner --region=europe-west3.
    """
    from components.data_extractor.extract import extract
    from components.images import location

    metadata = extract(
        purchases=purchases,
        products=products,
        output_path=location(examples),
        feature_config=feature_config,
        split=split,  # type: ignore[arg-type]  # extract checks it
        train_share=train_share,
        validation_share=validation_share,
        catalogue_size=catalogue_size,
        min_purchases=min_purchases,
        project=project,
        temp_dataset=temp_dataset,
        beam_options=beam_options,
    )
    for name, part in metadata["splits"].items():
        metrics.log_metric(f"{name}_rows", part["rows"])
    metrics.log_metric("products", len(metadata["products"]))
