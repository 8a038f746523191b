"""From a purchase log to `examples/`: query, check, report, write shards, and metadata.json last."""

import contextlib
from typing import TYPE_CHECKING, Any, Literal

from components.common import beam, example_metadata, progress, schema, storage
from components.common.claims import claiming
from components.common.errors import InputError, expect_at_least
from components.common.feature_config import load as load_config
from components.common.shipped import FEATURE_CONFIG
from components.data_extractor import checks, data_report, drift, point_in_time, sources, write
from components.data_extractor import thresholds as limits
from components.data_extractor.parameters import query_parameters
from components.data_extractor.sources import Source, Table

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@claiming
def extract(
    *,
    purchases: str,
    products: str,
    output_path: str,
    feature_config: str = FEATURE_CONFIG,
    split: Literal["temporal", "random"] = "temporal",
    train_share: float = 0.8,
    validation_share: float = 0.15,
    catalogue_size: int = 0,
    min_purchases: int = 1,
    revenue_as_of: Literal["purchase", "training"] = "training",
    thresholds: str = "",
    previous_metadata: str = "",
    project: str = "",
    temp_dataset: str = "",
    location: str = "",
    max_bytes_billed: int = 0,
    labels: dict[str, str] | None = None,
    beam_options: str = "",
) -> dict[str, Any]:
    """Turns a purchase log into TFRecords of tf.train.Example, split into train, validation and test.

    Args:
        purchases: The purchase log: a BigQuery table (project.dataset.table) or Parquet files (path or glob, local or
            gs://) with cust_person_id, product_id, revenue, city, timestamp, and the other columns that the feature
            config's query tower reads.
        products: The product table, of the same sort, with product_id, art_name, stratbuy_domain_desc,
            mge_main_cat_desc, and the other columns that the candidate tower reads.
        output_path: Folder for the examples, local or gs://; must be free.
        feature_config: The feature config: its path, or its YAML or JSON text; by default the one that is shipped.
        split: temporal puts the latest rows into validation and test; random goes by a stable hash.
        train_share: Share of the rows that go to training, between 0 and 1.
        validation_share: Share of the rows that go to validation; the rest is the test split.
        catalogue_size: Keep this many products, those bought by the most customers; 0 keeps all. With a temporal split
            purchases before the test count, here and for min_purchases.
        min_purchases: Keep only products bought at least this often; 1 keeps all.
        revenue_as_of: What an Example's revenue is of its customer: with training, the total of the training purchases,
            the same in all the customer's rows; with purchase, that of those before this one. Nothing of validation
            and test is in either.
        thresholds: Limits on what the data report finds, a path or YAML or JSON text such as "{duplicate: 0.2}";
            those not named keep their defaults (components/data_extractor/thresholds.py).
        previous_metadata: The metadata.json of an earlier run, local or gs://, to measure drift against.
        project: Google Cloud project that pays for the query; by default the project of the purchases.
        temp_dataset: BigQuery dataset (project.dataset) for the query's temporary results.
        location: Where the BigQuery jobs run, for example EU or europe-west3; by default where the tables are.
        max_bytes_billed: Refuse BigQuery jobs that would bill more bytes; 0 sets no limit.
        labels: Labels of the BigQuery jobs; on a command line --labels team recs env prod.
        beam_options: Apache Beam options, for example "--runner=DataflowRunner --project=... --region=...
            --temp_location=gs://... --sdk_container_image=..."; "" runs in this process. On a command line write
            --beam-options="--runner=...", with the equals sign.

    Returns:
        The content of metadata.json.

    Raises:
        InputError: anything about the input that has to be put right; then nothing is left at output_path.
    """
    config = load_config(feature_config)
    extras = sources.extra_columns(config)
    parameters = query_parameters(split, train_share, validation_share, catalogue_size, min_purchases, revenue_as_of)
    allowed = limits.load(thresholds)
    previous = drift.read_previous(previous_metadata) if previous_metadata else None
    expect_at_least("max_bytes_billed", max_bytes_billed, 0)
    options = beam.options(beam_options) if beam_options else None  # Beam takes seconds to import: not for a wrong path
    _check_reach(purchases, products, output_path, options)
    described: dict[Table, str] = {"purchases": f"purchases {purchases}", "products": f"products {products}"}

    bigquery = {"project": project, "temp_dataset": temp_dataset, "location": location, "labels": labels}
    with _open(purchases, products, {**bigquery, "max_bytes_billed": max_bytes_billed}) as source:
        conversions = checks.check_tables(source, described, extras)
        queries = {step: sources.query(step, extras) for step in sources.STEPS}
        with progress.step("Querying purchases"):
            source.materialise("judged", queries["judged"], {})
            source.materialise("examples", queries["examples"], parameters)
        with progress.step("Measuring the data"):
            found = data_report.measured(source, described, extras, min_purchases, previous, allowed)
            found.report["conversions"] = conversions
        checks.check_numbers(source, described, extras, found.products)
        point_in_time.check_products(described["products"], config, found.products)
        point_in_time.check(source, config, found.splits, split, revenue_as_of)
        tables = {"purchases": purchases, "products": products}
        metadata = {
            "format_version": schema.FORMAT_VERSION,
            "schema": sources.columns(extras),
            "splits": found.splits,
            "split": {"method": split, "train_share": train_share, "validation_share": validation_share},
            "source": {
                **tables,
                "query": ";\n\n".join(sources.with_names(query, tables) for query in queries.values()),
                "parameters": parameters,
            },
            "profile": found.profile,
            "products": found.products,
        }
        _write(source, output_path, metadata, found.report, options or beam.options(""))
    return metadata


def _write(
    source: Source, output_path: str, metadata: dict[str, Any], report: dict[str, Any], options: "PipelineOptions"
) -> None:
    """Writes shards, data report and metadata.json, with shards and fingerprint added to it."""
    columns, splits = metadata["schema"], metadata["splits"]
    with _destination(output_path) as folder:
        with progress.shown("Writing examples", report["rows"]["kept"]):
            written = write.write_examples(source.streams([*columns, "split"]), folder, columns, options)
        shards = write.written_shards(folder)
        for name, part in splits.items():
            in_shards = sum(shard["rows"] for shard in shards[name].values())
            if not written.get(name, 0) == in_shards == part["rows"]:
                raise RuntimeError(f"{folder}/{name}: wrote {in_shards} of {part['rows']} rows")
            part["shards"] = shards[name]
        metadata["fingerprint"] = example_metadata.fingerprint(metadata)
        data_report.write(folder, report)
        storage.write_json(storage.join(folder, schema.METADATA), metadata)


def _open(purchases: str, products: str, bigquery: dict[str, Any]) -> Source:
    """The source of both tables; `bigquery` has its further arguments where they are in BigQuery."""
    if sources.kind(purchases, products) == "parquet":
        from components.data_extractor.parquet import ParquetSource

        return ParquetSource(purchases, products)
    from components.data_extractor.bigquery import BigQuerySource

    return BigQuerySource(purchases, products, **bigquery)


def _check_reach(purchases: str, products: str, output_path: str, options: "PipelineOptions | None") -> None:
    """Raises InputError when workers on other machines could not read the source or write the output."""
    kind = sources.kind(purchases, products)
    if options is None or not beam.is_remote(options):
        return
    if kind == "parquet":
        remedy = "Load the files into BigQuery, or leave out --runner to run here."
        raise InputError("purchases and products", "Parquet files", "BigQuery tables, for Dataflow to read", remedy)
    if not storage.is_remote(output_path):
        remedy = "Choose a folder in a bucket that the workers may write to."
        raise InputError("output_path", output_path, "gs://..., because Dataflow's workers write there", remedy)


def _destination(output_path: str) -> contextlib.AbstractContextManager[str]:
    """The folder that the workers write into: in a bucket the output itself, as they may be on other machines."""
    if storage.is_remote(output_path):
        return storage.in_place(output_path)
    return storage.publish(output_path, marker=schema.METADATA)
