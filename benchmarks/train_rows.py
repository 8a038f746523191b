"""A finished extraction as in-memory columns for the peers of `make bench-train`: raw, or looked up."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute

from components.common import examples, schema, storage, vocabularies

pc: Any = pyarrow.compute
QUERY = (schema.CUSTOMER, "revenue", "city")
CANDIDATE = (schema.PRODUCT, schema.CATEGORY, schema.SUBCATEGORY)
SHARE, ID = "sampling_probability", "candidate_id"
CROSS_BUCKETS = 1000

Columns = dict[str, np.ndarray]


class Encoded(NamedTuple):
    """Purchases and catalogue with every lookup done.

    Attributes:
        customer, city: Indices, 0 for unseen tokens, int64 [R].
        revenue: Normalized with the training split's mean and variance, float32 [R].
        target: The product's index in the catalogue, int64 [R].
        product, category, subcategory, cross: Of each product of the catalogue, int64 [N].
        share: Of each product in the training rows, float32 [N].
        sizes: Rows of the tables: {"customer", "city", "product", "category", "subcategory", "cross"}.
    """

    customer: np.ndarray
    city: np.ndarray
    revenue: np.ndarray
    target: np.ndarray
    product: np.ndarray
    category: np.ndarray
    subcategory: np.ndarray
    cross: np.ndarray
    share: np.ndarray
    sizes: dict[str, int]


def read_vocabularies(log: str) -> dict[str, dict[str, Any]]:
    """The features of the log's vocabularies.json; `log` is a folder with that file and `examples/`."""
    return vocabularies.read_vocabularies(storage.join(log, "vocabularies.json"))


def raw(log: str, split: str, rows: int = 0) -> Columns:
    """The features of the first `rows` rows of a split (0: of all), whole shards being read.

    Returns:
        {column: [R]}: text as bytes, product ids too, and these once more as int64, `candidate_id`; `revenue`, and
        `sampling_probability`, the product's share of the training rows, as float32.
    """
    columns = {name: schema.EXAMPLE[name] for name in (*QUERY, *CANDIDATE)}
    parts: list[Columns] = []
    for shard in examples.shards(storage.join(log, "examples", split)):
        parts.append(examples.read([shard], columns))
        if rows and sum(len(part["revenue"]) for part in parts) >= rows:
            break
    read = {name: np.concatenate([part[name] for part in parts])[: rows or None] for name in columns}
    counted = read_vocabularies(log)[schema.PRODUCT]
    counts = dict(zip(map(int, counted["tokens"]), counted["counts"], strict=True))
    distinct, inverse = np.unique(read[schema.PRODUCT], return_inverse=True)
    purchases = np.array([counts.get(product, 0) for product in distinct.tolist()], np.float32)
    read[SHARE] = (purchases / sum(counted["counts"]))[inverse]
    read[ID] = read[schema.PRODUCT]
    read[schema.PRODUCT] = np.array([b"%d" % product for product in distinct.tolist()], object)[inverse]
    return read


def catalogue(log: str) -> Columns:
    """The products that training has seen, by count: {column of CANDIDATE: bytes [N]}."""
    products = schema.read_metadata(storage.join(log, "examples", schema.METADATA))["products"]
    tokens = read_vocabularies(log)[schema.PRODUCT]["tokens"]
    columns = {name: [products[token][name] for token in tokens] for name in CANDIDATE[1:]}
    texts = {schema.PRODUCT: tokens, **columns}
    return {name: np.array([text.encode() for text in column], object) for name, column in texts.items()}


def encoded(log: str, split: str, rows: int = 0) -> Encoded:
    """The same rows looked up; those of a product that training has not seen are left out."""
    features, read, products = read_vocabularies(log), raw(log, split, rows), catalogue(log)

    def index(name: str, column: np.ndarray) -> np.ndarray:
        tokens = pa.array(features[name]["tokens"]).cast(pa.binary())
        return pc.fill_null(pc.index_in(pa.array(column, pa.binary()), tokens), -1).to_numpy().astype(np.int64) + 1

    known = index(schema.PRODUCT, read[schema.PRODUCT]) > 0
    read = {name: column[known] for name, column in read.items()}
    revenue = features["revenue"]
    category, subcategory = (index(name, products[name]) for name in CANDIDATE[1:])
    counts = np.array(features[schema.PRODUCT]["counts"], np.float64)
    # Which bucket a pair falls into does not matter to a peer's speed; a multiplicative hash (Knuth 6.4) spreads them.
    cross = (category * 100_003 + subcategory) * 2_654_435_761 % 2**32 * CROSS_BUCKETS >> 32
    names = {"customer": schema.CUSTOMER, "city": "city", "product": schema.PRODUCT}
    names |= {"category": schema.CATEGORY, "subcategory": schema.SUBCATEGORY}
    return Encoded(
        customer=index(schema.CUSTOMER, read[schema.CUSTOMER]),
        city=index("city", read["city"]),
        revenue=((read["revenue"] - revenue["mean"]) / np.sqrt(revenue["variance"])).astype(np.float32),
        target=index(schema.PRODUCT, read[schema.PRODUCT]) - 1,
        product=np.arange(1, len(counts) + 1),
        category=category,
        subcategory=subcategory,
        cross=cross,
        share=(counts / counts.sum()).astype(np.float32),
        sizes={**{key: len(features[name]["tokens"]) + 1 for key, name in names.items()}, "cross": CROSS_BUCKETS},
    )
