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
    report: dsl.Output[dsl.HTML],
    split: str = "temporal",
    train_share: float = 0.8,
    validation_share: float = 0.15,
    catalogue_size: int = 0,
    min_purchases: int = 1,
    revenue_as_of: str = "training",
    thresholds: str = "",
    previous_metadata: str = "",
    project: str = "",
    temp_dataset: str = "",
    location: str = "",
    max_bytes_billed: int = 0,
    labels: dict = {},  # noqa: B006  KFP wants a dict, and never calls this function twice
    beam_options: str = "",
):
    """Queries the purchase log once, splits it and writes TFRecords of tf.train.Example.

    Args:
        purchases: The purchase log: a BigQuery table (project.dataset.table) or a Parquet path.
        products: The product table, of the same sort.
        feature_config: The feature config's text, YAML or JSON.
        examples: train/, validation/ and test/ shards, and metadata.json with the product lookup.
        metrics: Rows per split, products in the catalogue, and rows dropped by reason.
        report: The data report, for the console.
        split: temporal, or random by a stable hash.
        train_share: Share of the rows that go to training.
        validation_share: Share of the rows that go to validation; the rest is the test split.
        catalogue_size: Keep the products bought by the most customers; 0 keeps all.
        min_purchases: Keep only products bought at least this often.
        revenue_as_of: What revenue holds: training, the customer's total of the whole training period; purchase, that
            before the purchase.
        thresholds: Limits on what the data report finds, YAML or JSON; "" keeps the defaults.
        previous_metadata: The metadata.json of an earlier run, to measure drift against.
        project: Google Cloud project that pays for the query.
        temp_dataset: BigQuery dataset (project.dataset) for the query's temporary results.
        location: Where the BigQuery jobs run; by default where the tables are.
        max_bytes_billed: Refuse BigQuery jobs that would bill more bytes; 0 sets no limit.
        labels: Labels of the BigQuery jobs.
        beam_options: Apache Beam options; "" runs in one process, --runner=DataflowRunner needs what README.md lists.
    """
    from components import images
    from components.common import storage
    from components.data_extractor.data_report import PAGE, REPORT
    from components.data_extractor.extract import extract

    folder = images.location(examples)
    metadata = extract(
        purchases=purchases,
        products=products,
        output_path=folder,
        feature_config=feature_config,
        split=split,  # type: ignore[arg-type]  # extract checks it
        train_share=train_share,
        validation_share=validation_share,
        catalogue_size=catalogue_size,
        min_purchases=min_purchases,
        revenue_as_of=revenue_as_of,  # type: ignore[arg-type]  # extract checks it
        thresholds=thresholds,
        previous_metadata=previous_metadata,
        project=project,
        temp_dataset=temp_dataset,
        location=location,
        max_bytes_billed=max_bytes_billed,
        labels=labels,
        beam_options=beam_options,
    )
    for name, part in metadata["splits"].items():
        metrics.log_metric(f"{name}_rows", part["rows"])
    metrics.log_metric("products", len(metadata["products"]))
    found = storage.read_json(storage.join(folder, REPORT), "the data report")
    for reason, rows in found["rows"].items():
        if reason not in ("read", "kept") and rows:
            metrics.log_metric(f"dropped_{reason}", rows)
    with open(report.path, "w", encoding="utf-8") as file:
        file.write(storage.read_text(storage.join(folder, PAGE), "the data report"))
