"""Synthetic purchase logs of any size, written as a finished extraction with its vocabularies and its truth.

Rows, vocabularies and the best possible Recall come from one known world (train_world.py); Beam and BigQuery have no
part in it. `truth.json` holds Recall@k on the test split of the true probabilities and of popularity in training.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from isal import igzip

from benchmarks.train_world import CITIES, SHARES, Purchases, World, blocks, truth, world
from components.common import schema, storage, tfrecord
from components.common.accumulator import Accumulator
from components.common.errors import InputError
from components.common.vocabularies import FORMAT_VERSION

SHARD, FEWEST_SHARDS = 1_250_000, 4  # rows, files
FEW = 50_000  # rows that are written sooner than processes start
TRUTH = "truth.json"


def make(folder: str, rows: int, customers: int, products: int, seed: int = 1) -> None:
    """Writes `examples/`, `vocabularies.json` and `truth.json`, or nothing where they are already.

    Args:
        folder: Local; appears whole or not at all.
        rows: Of all three splits.
        customers: How many there are; the least active may have no row.
        products: How many there are, at least 100.
        seed: The same arguments give the same files.

    Raises:
        InputError: the folder holds something else.
    """
    shape = {"rows": rows, "customers": customers, "products": products, "seed": seed}
    done = storage.join(folder, TRUTH)
    if os.path.exists(done):
        found = {name: storage.read_json(done, "the truth about a synthetic log").get(name) for name in shape}
        if found != shape:
            raise InputError(done, str(found), str(shape), "Delete the folder, or choose another.")
        return
    shards = max(FEWEST_SHARDS, -(-rows // SHARD))
    with storage.publish(folder, TRUTH) as work:
        for split in schema.SPLITS:
            os.makedirs(storage.join(work, "examples", split))
        if rows <= FEW:
            parts = [_write_shard(work, shape, shard, shards) for shard in range(shards)]
        else:
            spawned = multiprocessing.get_context(
                "spawn"
            )  # the caller may have TensorFlow's threads, which fork breaks
            with ProcessPoolExecutor(os.cpu_count(), mp_context=spawned) as pool:
                jobs = [pool.submit(_write_shard, work, shape, shard, shards) for shard in range(shards)]
                parts = [job.result() for job in jobs]
        log = world(customers, products, seed)
        bought = Purchases(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        storage.write_json(storage.join(work, "examples", schema.METADATA), _metadata(log, bought, shape, shards))
        storage.write_json(storage.join(work, "vocabularies.json"), _vocabularies(log, bought))
        storage.write_json(storage.join(work, TRUTH), {**shape, **truth(log, bought)})


def cached(rows: int, customers: int, products: int, *, cache: str = ".cache") -> str:
    """The folder of such a log, which is made on the first call."""
    folder = f"{cache}/bench/log-{rows}x{customers}x{products}"
    make(folder, rows, customers, products)
    return folder


def _write_shard(work: str, shape: dict[str, int], shard: int, shards: int) -> Purchases:
    """Writes one shard of every split and returns its rows."""
    log = world(shape["customers"], shape["products"], shape["seed"])
    rows = shape["rows"] * (shard + 1) // shards - shape["rows"] * shard // shards
    random = np.random.default_rng([shape["seed"], 1 + shard])
    paths = [f"{work}/examples/{split}/part-{shard:05d}-of-{shards:05d}.tfrecord.gz" for split in schema.SPLITS]
    drawn = []
    for block in blocks(log, rows, random):
        drawn.append(block)
        records = tfrecord.records(_examples(log, block))
        for place, path in enumerate(paths):
            part = records.filter(pa.array(block.split == place))
            if len(part):  # a gzip member of nothing confuses some readers
                with open(path, "ab") as file:
                    file.write(igzip.compress(tfrecord.block(part), 1, mtime=0))
    return Purchases(*(np.concatenate(column) for column in zip(*drawn, strict=True)))


def _examples(log: World, block: Purchases) -> pa.RecordBatch:
    """The rows with all columns of schema.EXAMPLE."""
    columns: dict[str, Any] = {
        schema.CUSTOMER: pa.array(block.customer).cast(pa.string()),
        schema.PRODUCT: log.ids[block.product],
        "revenue": log.revenue[block.customer],
        "city": pa.DictionaryArray.from_arrays(log.city[block.customer], _texts("city", CITIES)),
        schema.TIMESTAMP: block.time,
        schema.NAME: pa.DictionaryArray.from_arrays(block.product, _texts("product", len(log.ids))),
        **{
            name: pa.DictionaryArray.from_arrays(of[block.product], _texts(text, int(of.max()) + 1))
            for name, text, of in _groups(log)
        },
    }
    return pa.RecordBatch.from_pydict({name: columns[name] for name in schema.EXAMPLE})


def _groups(log: World) -> tuple[tuple[str, str, np.ndarray], ...]:
    return (schema.CATEGORY, "category", log.category), (schema.SUBCATEGORY, "subcategory", log.subcategory)


def _texts(prefix: str, count: int) -> list[str]:
    return [f"{prefix} {number}" for number in range(count)]


def _metadata(log: World, bought: Purchases, shape: dict[str, int], shards: int) -> dict[str, Any]:
    splits = {}
    for place, split in enumerate(schema.SPLITS):
        time = bought.time[bought.split == place]
        ends = {"first_timestamp": int(time.min()), "last_timestamp": int(time.max())}
        splits[split] = {"rows": len(time), **ends, "shards": shards}
    return {
        "format_version": schema.FORMAT_VERSION,
        "schema": schema.EXAMPLE,
        "splits": splits,
        "split": {"method": "random", "train_share": SHARES[0], "validation_share": SHARES[1]},
        "source": {"query": f"benchmarks/train_data.py, {shape}"},
        "products": {
            str(product): {
                schema.NAME: f"product {index}",
                **{name: f"{text} {of[index]}" for name, text, of in _groups(log)},
            }
            for index, product in enumerate(log.ids.tolist())
        },
    }


def _vocabularies(log: World, bought: Purchases) -> dict[str, Any]:
    """What the VocabBuilder would count, from how often each customer and product occurs in training."""
    train = bought.split == 0
    customers = np.bincount(bought.customer[train], minlength=len(log.city))
    products = np.bincount(bought.product[train], minlength=len(log.ids))
    counted = {
        schema.CUSTOMER: ([str(number) for number in range(len(customers))], customers),
        "city": (_texts("city", CITIES), np.bincount(log.city, customers, CITIES)),
        "revenue": (log.revenue, customers),
        schema.PRODUCT: (log.ids, products),
        **{name: (_texts(text, int(of.max()) + 1), np.bincount(of, products)) for name, text, of in _groups(log)},
    }
    accumulator = Accumulator({name: schema.EXAMPLE[name] for name in sorted(counted)})
    seen = {}
    for name, (values, counts) in counted.items():
        column = np.array(values, object if isinstance(values, list) else None)
        seen[name] = column[counts > 0], counts[counts > 0]
    accumulator.add(int(train.sum()), seen)
    features = {
        name: accumulator.statistics(name) if kind == "float" else accumulator.tokens(name)
        for name, kind in accumulator.columns.items()
    }
    return {"format_version": FORMAT_VERSION, "rows": accumulator.rows, "features": features}
