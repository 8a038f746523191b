"""From a purchase log to `examples/`: check, query once, write shards, and metadata.json last."""

import contextlib
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from components.common import beam, progress, schema, storage
from components.common.errors import InputError
from components.common.examples import SHARDS
from components.common.feature_config import load as load_config
from components.data_extractor import checks, sources, write
from components.data_extractor.sources import Source, Table

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

HEX_DIGITS = 12  # of the MD5 that places a row in the random split; as many as query.sql takes

SUMMARY = """
SELECT split, COUNT(*) AS row_count, MIN(`timestamp`) AS first_timestamp, MAX(`timestamp`) AS last_timestamp
FROM {examples} GROUP BY split
"""


def extract(
    *,
    purchases: str,
    products: str,
    output_path: str,
    feature_config: str = "feature_config.yaml",
    split: Literal["temporal", "random"] = "temporal",
    train_share: float = 0.8,
    validation_share: float = 0.15,
    catalogue_size: int = 0,
    min_purchases: int = 1,
    project: str = "",
    temp_dataset: str = "",
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
        feature_config: The feature config: its path, or its YAML or JSON text.
        split: temporal puts the latest rows into validation and test; random goes by a stable hash.
        train_share: Share of the rows that go to training, between 0 and 1.
        validation_share: Share of the rows that go to validation; the rest is the test split.
        catalogue_size: Keep this many products, those bought by the most customers; 0 keeps all.
        min_purchases: Keep only products bought at least this often.
        project: Google Cloud project that pays for the query; by default the project of the purchases.
        temp_dataset: BigQuery dataset (project.dataset) for the query's temporary result.
        beam_options: Apache Beam options, for example "--runner=DataflowRunner --region=europe-west3"; on a
            command line write --beam-options="--runner=...", with the equals sign.

    Returns:
        The content of metadata.json.

    Raises:
        InputError: anything about the input that has to be put right; then nothing is left at output_path.
    """
    extras = sources.extra_columns(load_config(feature_config))
    parameters = query_parameters(split, train_share, validation_share, catalogue_size, min_purchases)
    options = beam.options(beam_options)
    _check_reach(purchases, products, output_path, options)
    storage.refuse_overwrite(output_path)
    described: dict[Table, str] = {"purchases": f"purchases {purchases}", "products": f"products {products}"}

    with _open(purchases, products, project, temp_dataset) as source, contextlib.ExitStack() as output:
        checks.check_columns(source, described, extras)
        checks.check_rows(source, described, extras)
        query, columns = sources.query(extras), sources.columns(extras)
        streams = source.materialise(query, parameters)
        splits = _splits(source, min_purchases)
        folder = output.enter_context(_destination(output_path, options))
        with progress.shown("Writing examples", sum(part["rows"] for part in splits.values())):
            written = write.write_examples(streams, folder, list(columns), options)
        for name, part in splits.items():
            if written[name] != part["rows"]:
                raise RuntimeError(f"{folder}/{name}: wrote {written[name]} of {part['rows']} rows")
            part["shards"] = len(storage.list_files(storage.join(folder, name, SHARDS)))
        metadata = {
            "format_version": schema.FORMAT_VERSION,
            "schema": columns,
            "splits": splits,
            "split": {"method": split, "train_share": train_share, "validation_share": validation_share},
            "source": {
                "purchases": purchases,
                "products": products,
                "query": sources.with_names(query, {"purchases": purchases, "products": products}),
                "parameters": parameters,
            },
            "products": _catalogue(source, extras),
        }
        storage.write_json(storage.join(folder, schema.METADATA), metadata)
    return metadata


def query_parameters(
    split: str, train_share: float, validation_share: float, catalogue_size: int, min_purchases: int
) -> dict[str, Any]:
    """The parameters of query.sql.

    Raises:
        InputError: a share or a count out of range.
    """
    for name, share in (("train_share", train_share), ("validation_share", validation_share)):
        if not 0 < share < 1:
            raise InputError(name, str(share), "a number between 0 and 1", "Choose another share, such as 0.8.")
    # As decimals, so that 0.8 + 0.15 is 0.95.
    validation_from = Fraction(str(train_share))
    test_from = validation_from + Fraction(str(validation_share))
    if test_from >= 1:
        found = f"{train_share} + {validation_share}"
        raise InputError("train_share + validation_share", found, "less than 1", "Leave a share for the test split.")
    for name, count, least in (("catalogue_size", catalogue_size, 0), ("min_purchases", min_purchases, 1)):
        if count < least:
            raise InputError(name, str(count), f"{least} or more", "Choose another number.")
    if split not in ("temporal", "random"):
        raise InputError("split", repr(split), "temporal or random", "Choose one of the two.")
    return {
        "split": split,
        "validation_from": float(validation_from),
        "test_from": float(test_from),
        "validation_from_hex": _hexadecimal(validation_from),
        "test_from_hex": _hexadecimal(test_from),
        "catalogue_size": catalogue_size,
        "min_purchases": min_purchases,
    }


def _hexadecimal(share: Fraction) -> str:
    """The first digits of a number in [0, 1), so that texts compare as the numbers do."""
    return f"{int(share * 16**HEX_DIGITS):0{HEX_DIGITS}x}"


def _open(purchases: str, products: str, project: str, temp_dataset: str) -> Source:
    if sources.kind(purchases, products) == "parquet":
        from components.data_extractor.parquet import ParquetSource

        return ParquetSource(purchases, products)
    from components.data_extractor.bigquery import BigQuerySource

    return BigQuerySource(purchases, products, project, temp_dataset)


def _check_reach(purchases: str, products: str, output_path: str, options: "PipelineOptions") -> None:
    """Raises InputError when workers on other machines could not read the source or write the output."""
    kind = sources.kind(purchases, products)
    if not beam.is_remote(options):
        return
    if kind == "parquet":
        remedy = "Load the files into BigQuery, or leave out --runner to run here."
        raise InputError("purchases and products", "Parquet files", "BigQuery tables, for Dataflow to read", remedy)
    if not storage.is_remote(output_path):
        remedy = "Choose a folder in a bucket that the workers may write to."
        raise InputError("output_path", output_path, "gs://..., because Dataflow's workers write there", remedy)


def _destination(output_path: str, options: "PipelineOptions") -> contextlib.AbstractContextManager[str]:
    """The folder that the workers write into: for those on other machines the output itself, metadata.json last."""
    if beam.is_remote(options):
        return storage.in_place(output_path)
    return storage.publish(output_path, marker=schema.METADATA)


def _splits(source: Source, min_purchases: int) -> dict[str, dict[str, int]]:
    """Rows and time range per split.

    Raises:
        InputError: a split without rows.
    """
    found = {row.pop("split"): row for row in source.rows(SUMMARY, {})}
    if not found:
        remedy = "Lower min_purchases, or give more data."
        raise InputError("catalogue", "no product", f"products with at least {min_purchases} purchases", remedy)
    counts = {name: found[name]["row_count"] if name in found else 0 for name in schema.SPLITS}
    for name, count in counts.items():
        if not count:
            listed = ", ".join(f"{other} {rows:,}" for other, rows in counts.items())
            remedy = "Change train_share and validation_share, or give more data."
            raise InputError(f"split {name}", f"no rows ({listed})", "rows in every split", remedy)
    return {name: {"rows": found[name].pop("row_count"), **found[name]} for name in schema.SPLITS}


def _catalogue(source: Source, extras: Mapping[Table, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """The product lookup: {"<product_id>": {column: value}}, sorted by id."""
    columns = [*schema.PRODUCT_COLUMNS, *extras["products"]]
    listed = ", ".join(f"`{name}`" for name in (schema.PRODUCT, *columns))
    query = f"SELECT DISTINCT {listed} FROM {{examples}} ORDER BY {schema.PRODUCT}"  # noqa: S608  no free text
    rows = source.rows(query, {})
    return {str(row[schema.PRODUCT]): {name: row[name] for name in columns} for row in rows}
