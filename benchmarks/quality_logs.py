"""The purchase logs of `make bench-quality`: The Complete Journey, split and cut in five ways, each extracted once."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.common import examples, feature_config, schema, storage
from components.data_extractor import write
from components.data_extractor.extract import extract
from components.vocab_builder.build import build_vocabularies
from demo.data import prepare

EXTRACTED: dict[str, dict[str, Any]] = {
    "temporal": {"catalogue_size": 1500},
    "random": {"catalogue_size": 1500, "split": "random"},
    "all_products": {"min_purchases": 10},
    "few_purchases": {"catalogue_size": 1500},
}
DEALT = "few_purchases"  # every household's baskets are dealt to CUSTOMERS customers
CUSTOMERS = 10  # of a household
BASKET = "basket"  # the rows of the temporal log, split anew
LOGS = (*EXTRACTED, BASKET)
FEWEST_BASKETS = 3  # one for each split
WRITTEN_ROWS = 65_536  # of a batch

# What a household paid in each basket: exact copies count once and sums are of decimals, as in judged.sql.
PAID = """
SELECT cust_person_id, seconds, sum(paid)::DOUBLE AS paid
FROM (
  SELECT DISTINCT
    cust_person_id, product_id, revenue::DECIMAL(38, 9) AS paid, "timestamp",
    epoch_us("timestamp") // 1000000 AS seconds
  FROM read_parquet($purchases)
)
WHERE product_id IN (SELECT unnest($products::BIGINT[]))
GROUP BY cust_person_id, seconds
"""

# A basket is what a household bought at one time. Every basket of it is as likely to go to each of its customers.
DEAL = """
SELECT
  cust_person_id || ' ' || md5_number_lower(cust_person_id || ' ' || epoch_us("timestamp")) % $customers
    AS cust_person_id,
  * EXCLUDE cust_person_id
FROM read_parquet($purchases)
"""


class Rows(NamedTuple):
    """A table as a stream of the DataExtractor; see sources.Stream."""

    table: pa.Table

    def read(self) -> Iterator[pa.RecordBatch]:
        yield from self.table.to_batches(max_chunksize=WRITTEN_ROWS)


def log(name: str, config: str, cache: str) -> str:
    """The folder with examples/ and vocabularies.json; made unless it is there.

    A log's examples are the same for all configs, so they are there once; vocabularies are of one config.

    Args:
        name: One of LOGS.
        config: Path of the feature config.
        cache: Folder for the data.
    """
    found = _examples(name, cache)
    text = feature_config.load(config).model_dump_json()
    folder = storage.join(os.path.dirname(found), hashlib.sha256(text.encode()).hexdigest()[:12])
    os.makedirs(folder, exist_ok=True)
    link, vocabularies = storage.join(folder, "examples"), storage.join(folder, "vocabularies.json")
    if not os.path.lexists(link):
        os.symlink("../examples", link)
    if not os.path.exists(vocabularies):
        build_vocabularies(examples=found, feature_config=config, output_path=vocabularies)
    return folder


def _examples(name: str, cache: str) -> str:
    path = storage.join(cache, "bench", f"quality-{name}", "examples")
    if os.path.exists(path):
        return path
    purchases, products = prepare(f"{cache}/demo/all")
    if name == DEALT:
        purchases = dealt(purchases, os.path.dirname(path))
    if name == BASKET:
        _split_by_basket(_examples("temporal", cache), purchases, path)
    else:
        extract(purchases=purchases, products=products, output_path=path, **EXTRACTED[name])
    return path


def dealt(purchases: str, folder: str) -> str:
    """Writes the purchases again as those of many customers with few purchases each; returns the new path."""
    import duckdb

    path = storage.join(folder, "purchases.parquet")
    os.makedirs(folder, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
        rows = connection.execute(DEAL, {"purchases": purchases, "customers": CUSTOMERS}).fetch_arrow_table()
    pq.write_table(rows, path)
    return path


def basket_split(customer: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Leave one basket out: a customer's last one is for the test, the one before for validation.

    Customers with fewer than FEWEST_BASKETS are in training only: there would be nothing to know them by.

    Args:
        customer: int64 [R], numbers from 0 on.
        time: int64 [R]; what a customer bought at one time is a basket.

    Returns:
        The split of each row, str [R].
    """
    times, moment = np.unique(time, return_inverse=True)
    pairs, basket = np.unique(customer * len(times) + moment, return_inverse=True)
    owner = pairs // len(times)
    first, end = np.searchsorted(owner, owner), np.searchsorted(owner, owner, side="right")
    from_last = np.where(end - first >= FEWEST_BASKETS, end - 1 - np.arange(len(pairs)), FEWEST_BASKETS)
    split = np.select([from_last == 0, from_last == 1], ["test", "validation"], "train")
    return split[basket]


def _split_by_basket(source: str, purchases: str, output_path: str) -> None:
    """Writes the rows of `source` again, split by basket, each customer's revenue being what training holds of it."""
    metadata = schema.read_metadata(storage.join(source, schema.METADATA))
    files = [file for split in schema.SPLITS for file in examples.shards(storage.join(source, split))]
    rows = examples.read(files, metadata["schema"])
    names, customer = np.unique(rows[schema.CUSTOMER].astype(str), return_inverse=True)
    split = basket_split(customer, rows[schema.TIMESTAMP])
    rows["revenue"] = _paid_in_training(purchases, metadata["products"], names, customer, rows)[customer]
    order = np.lexsort((rows[schema.PRODUCT], customer, rows[schema.TIMESTAMP]))
    table = _table({column: values[order] for column, values in rows.items()}, metadata["schema"], split[order])
    with storage.publish(output_path, schema.METADATA) as folder:
        shards = write.write_shards((0, Rows(table)), 1, folder, metadata["schema"])
        written = {shard.split: shard.rows for shard in shards}
        splits = {
            name: {
                "rows": written[name],
                "first_timestamp": int(rows[schema.TIMESTAMP][split == name].min()),
                "last_timestamp": int(rows[schema.TIMESTAMP][split == name].max()),
                "shards": 1,
            }
            for name in schema.SPLITS
        }
        cut = {"splits": splits, "split": {"method": BASKET}}
        storage.write_json(storage.join(folder, schema.METADATA), {**metadata, **cut, "fingerprint": ""})


def _paid_in_training(
    purchases: str, products: Mapping[str, Any], names: np.ndarray, customer: np.ndarray, rows: Mapping[str, np.ndarray]
) -> np.ndarray:
    """What each customer paid in the baskets that are in training, float32 [C].

    An Example does not hold what was paid, so that it is asked of the purchases' table.

    Args:
        purchases: Its path.
        products: The product lookup of metadata.json.
        names: The customers [C], sorted.
        customer, rows: The customer of each Example, and the Examples.

    Raises:
        AssertionError: the table's baskets are not those of the Examples.
    """
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        asked = {"purchases": purchases, "products": [int(product) for product in products]}
        found = connection.execute(PAID, asked).fetchnumpy()
    owner, time = np.searchsorted(names, found["cust_person_id"].astype(str)), found["seconds"].astype(np.int64)
    theirs, ours = set(zip(owner.tolist(), time.tolist(), strict=True)), rows[schema.TIMESTAMP].tolist()
    if theirs != set(zip(customer.tolist(), ours, strict=True)):
        raise AssertionError(f"{purchases} holds other baskets than the Examples that were extracted from it")
    training = basket_split(owner, time) == "train"
    return np.bincount(owner[training], found["paid"][training], minlength=len(names)).astype(np.float32)


def _table(rows: Mapping[str, np.ndarray], columns: Mapping[str, str], split: np.ndarray) -> pa.Table:
    texts = {name for name, kind in columns.items() if kind == "string"}
    arrays: dict[str, Any] = {
        name: pa.array(values, pa.binary()).cast(pa.string()) if name in texts else pa.array(values)
        for name, values in rows.items()
    }
    return pa.table({**arrays, "split": pa.array(split)})
