"""Every customer's best products at once, as Parquet or as a BigQuery table: for shops that need no online model."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.common import checks, claims, progress, schema, staging, storage
from components.common.errors import InputError, expect_at_least
from components.exporter.signatures import IDS, NO_PRODUCT, SCORES
from components.exporter.vertex import bigquery_load
from components.exporter.vertex import release as releases
from components.exporter.vertex.customers import Customers, latest
from components.exporter.vertex.recommend import NAMES, Recommender, padded

FILE, FACTS = "recommendations.parquet", "_batch.json"  # readers of a folder of Parquet pass over names with _
TYPES: dict[str, pa.DataType] = {
    schema.CUSTOMER: pa.string(),
    "rank": pa.int64(),
    schema.PRODUCT: pa.int64(),
    schema.NAME: pa.string(),
    "score": pa.float32(),
    "model_version": pa.string(),
}
COLUMNS = pa.schema(TYPES)
BYTES_A_SCORE = 16  # that a request takes, about, for each customer and product
MEMORY = 256 << 20  # bytes for one block's scores
MOST_CUSTOMERS = 4096  # of a block


def batch(
    *,
    release: str,
    examples: str,
    output: str,
    k: int = 100,
    exclude_bought: bool = False,
    project: str = "",
    location: str = "",
) -> dict[str, Any]:
    """Writes every customer's best products, whole or not at all.

    Customers are all of train, validation and test; each has the features of their latest purchase.

    Args:
        release: release/ of the Exporter, local or gs://.
        examples: examples/ of the DataExtractor, local or gs://.
        output: A folder for Parquet, local or gs://, which must be free; or a BigQuery table, project.dataset.table,
            which is replaced.
        k: Products a customer.
        exclude_bought: Leave out what the customer bought.
        project: The Google Cloud project that pays for loading the table; by default the table's.
        location: Where the table's dataset is, such as europe-west3; by default BigQuery finds out.

    Returns:
        {"model_version", "customers", "rows", "k", "exclude_bought"}.

    Raises:
        InputError: for what the user can put right; nothing is written.
    """
    expect_at_least("--k", k, 1)
    is_table = _is_table(output)
    if not is_table:
        storage.refuse_overwrite(output)
    if project:
        checks.project("--project", project)
    read = releases.read(release)
    with contextlib.ExitStack() as stack:
        stack.enter_context(claims.explained_disk(output) if is_table else claims.claimed(output))
        if is_table:
            work = stack.enter_context(tempfile.TemporaryDirectory())
        else:
            work = stack.enter_context(storage.publish(output, FACTS))
        model = stack.enter_context(staging.staged(read.path(releases.SAVED_MODEL)))
        recommender = Recommender(model, exclude_bought)
        customers = latest(examples, recommender.columns, exclude_bought)
        blocks = _blocks(recommender, customers, k, read)
        rows = _write(os.path.join(work, FILE), blocks, len(customers.starts) - 1)
        facts = {
            "model_version": read.model_version,
            "customers": len(customers.starts) - 1,
            "rows": rows,
            "k": k,
            "exclude_bought": exclude_bought,
        }
        if is_table:
            bigquery_load.replace(output, os.path.join(work, FILE), project, location, read.labels)
        else:
            storage.write_json(os.path.join(work, FACTS), facts)
    print(f"{output}: {rows:,} rows of {facts['customers']:,} customers, model {read.model_version}", file=sys.stderr)
    return facts


def _is_table(output: str) -> bool:
    """Whether the output is a BigQuery table.

    Raises:
        InputError: neither a table's name nor a path.
    """
    if "/" in output:
        return False
    if checks.TABLE.fullmatch(output):
        return True
    expected = "a BigQuery table project.dataset.table, or a folder with a / in its path, local or gs://"
    raise InputError("--output", repr(output), expected, "Give the plain name, without quotes, backticks or SQL.")


def _blocks(
    recommender: Recommender, customers: Customers, k: int, release: releases.Release
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Customers and rows of the result, a block of customers at a time."""
    products = int(release.document["embeddings"]["products"])
    size = min(MOST_CUSTOMERS, max(1, MEMORY // (BYTES_A_SCORE * products)))
    total = len(customers.starts) - 1
    for start in range(0, total, size):
        part = slice(start, min(start + size, total))
        raw = {name: values[part] for name, values in customers.columns.items()}
        exclude = padded(customers.bought, customers.starts[part.start : part.stop + 1])
        found = recommender(raw, k, exclude)
        yield part.stop - part.start, _rows(raw[schema.CUSTOMER], found, release.model_version)


def _rows(customers: np.ndarray, found: dict[str, np.ndarray], model_version: str) -> pa.RecordBatch:
    """Recommendations [B, K] as rows; places without a product are left out."""
    there = found[IDS] != NO_PRODUCT
    count = int(there.sum())
    ranks = np.broadcast_to(np.arange(1, there.shape[1] + 1), there.shape)
    columns = [
        _texts(np.repeat(customers, there.sum(axis=1))),
        pa.array(ranks[there], pa.int64()),
        pa.array(found[IDS][there], pa.int64()),
        _texts(found[NAMES][there]),
        pa.array(found[SCORES][there], pa.float32()),
        pa.repeat(model_version, count),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=COLUMNS)


def _texts(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.binary()).cast(pa.string())


def _write(path: str, blocks: Iterator[tuple[int, pa.RecordBatch]], customers: int) -> int:
    rows = 0
    with pq.ParquetWriter(path, COLUMNS) as writer, progress.shown("Recommending", customers, "customers"):
        for done, block in blocks:
            writer.write_batch(block)
            rows += block.num_rows
            progress.advance(done)
    return rows
