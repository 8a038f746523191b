"""TFRecords to encoded purchases, in which equal queries are one."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.common import progress, schema
from components.common.errors import InputError
from components.common.example_part import Part
from trainer_image.cache import Cache, Column
from trainer_image.features import Encoder

UNKNOWN = -1  # a product that is not in the catalogue
BUYER, BUYERS = "#buyer", 2**31 - 1  # a customer's hash, under a name that no column has, and how many there are


class Purchases(NamedTuple):
    """R purchases of one split as G distinct queries, each with a histogram of the products bought.

    A query is a tuple of encoded features of the query tower; in the default config all rows of a customer are equal
    and make one. The histograms hold E distinct pairs of query and product, sorted by query, then product.

    Attributes:
        queries: {feature key: int32 [G] or float32 [G, width]}.
        splits: int64 [G + 1]; the pairs of query g are splits[g] to splits[g + 1].
        product: int32 [E], an index of the catalogue, or UNKNOWN.
        times: int32 [E], how often the pair was bought.
    """

    queries: dict[str, np.ndarray]
    splits: np.ndarray
    product: np.ndarray
    times: np.ndarray

    @property
    def rows(self) -> int:
        return int(self.times.sum(dtype=np.int64))

    @property
    def groups(self) -> int:
        return len(self.splits) - 1

    def pair_query(self) -> np.ndarray:
        """int64 [E], the query of each pair."""
        return np.repeat(np.arange(self.groups), np.diff(self.splits))

    def product_counts(self, products: int) -> np.ndarray:
        """float64 [products], purchases of each product of the catalogue."""
        known = self.product != UNKNOWN
        return np.bincount(self.product[known], self.times[known], minlength=products)


def load(part: Part, encoder: Encoder, catalogue: list[str], cache: Cache, *, by_buyer: bool = False) -> Purchases:
    """Reads one split, encodes it once, and groups it.

    Args:
        part: The rows of the split.
        encoder: The query tower's.
        catalogue: Product ids in index order.
        cache: Where the arrays live.
        by_buyer: Never make one query of two customers, and keep a hash of the customer under BUYER: the towers need
            not read who bought, and know no customers that training has not seen.

    Returns:
        The same arrays, however the rows were ordered and sharded.

    Raises:
        InputError: an empty split, other rows than metadata.json says, or columns missing.
    """
    columns = {**encoder.columns, schema.PRODUCT: "int64", **({schema.CUSTOMER: "string"} if by_buyer else {})}
    index = product_index(catalogue)

    def encode(raw: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        encoded = encoder(raw)
        if by_buyer:
            encoded[BUYER] = tf.cast(tf.strings.to_hash_bucket_fast(raw[schema.CUSTOMER], BUYERS), tf.int32)
        return encoded, index.lookup(raw[schema.PRODUCT])

    target = Column(cache)
    # Queries are sorted by their first key last: where they tell customers apart, the buyer changes nothing.
    queries = {key: Column(cache) for key in (*([BUYER] if by_buyer else []), *encoder.tables)}
    with part.explained(columns), progress.shown(f"Reading {part.split}", part.rows or 0):
        for encoded, found in part.dataset(columns).map(encode, num_parallel_calls=2).as_numpy_iterator():
            target.append(found)
            for key, column in queries.items():
                column.append(encoded[key])
            progress.advance(len(found))
    part.expect_rows(target.rows)
    if not target.rows:
        raise part.no_rows()
    return grouped({key: column.array() for key, column in queries.items()}, target.array(), len(catalogue), cache)


def product_index(catalogue: list[str]) -> tf.lookup.StaticHashTable:
    """From product ids to their places in the catalogue, int32; UNKNOWN for others."""
    ids = tf.constant([int(product) for product in catalogue], tf.int64)
    places = tf.range(len(catalogue), dtype=tf.int32)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(ids, places), default_value=UNKNOWN)


def grouped(query: dict[str, np.ndarray], target: np.ndarray, products: int, cache: Cache) -> Purchases:
    """Makes one query of all rows that share every query feature. Takes over the arrays, which came from the cache.

    Args:
        query: {feature key: int32 [R] or float32 [R, width]}.
        target: int32 [R], the product bought, or UNKNOWN.
        products: N, the size of the catalogue.
        cache: Where the arrays live.
    """
    code = _codes(query)
    groups = int(code.max()) + 1
    member = np.empty(groups, np.int64)
    member[code] = np.arange(len(code))  # any row of the group: all are equal
    distinct = {key: column[member] for key, column in query.items()}
    order = np.lexsort([part for column in distinct.values() for part in np.atleast_2d(column.T)])
    queries = {}
    for key, column in distinct.items():
        queries[key] = cache.empty(column.shape, column.dtype)
        queries[key][:] = column[order]
        cache.release(query[key])
    place = np.empty(groups, np.int64)
    place[order] = np.arange(groups)

    pair = cache.empty((len(target),), np.int64)
    np.multiply(place[code], products + 1, out=pair)
    pair += target
    pair += 1  # UNKNOWN is the smallest
    del code
    cache.release(target)
    pair.sort()
    first = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]]))
    product, count = (cache.empty((len(first),), np.int32) for _ in range(2))
    np.subtract(pair[first] % (products + 1), 1, out=product, casting="unsafe")
    np.subtract(np.append(first[1:], len(pair)), first, out=count, casting="unsafe")
    splits = np.searchsorted(pair[first] // (products + 1), np.arange(groups + 1))
    cache.release(pair)
    return Purchases(queries, splits, product, count)


def _codes(query: dict[str, np.ndarray]) -> np.ndarray:
    """Numbers the distinct rows: int64 [R], equal where all columns are. Arrow's hash tables need no sorting."""
    code = np.zeros(len(next(iter(query.values()))), np.int64)
    for column in query.values():
        for part in np.atleast_2d(column.T):
            bits = pa.array(np.ascontiguousarray(part).view(np.int32)).dictionary_encode()
            code *= len(bits.dictionary)
            code += bits.indices.to_numpy()
            code = pa.array(code).dictionary_encode().indices.to_numpy().astype(np.int64)
    return code


def expect_known_products(purchases: Purchases, path: str) -> None:
    """Raises InputError where training rows buy products that the vocabulary or the product lookup lacks."""
    unknown = int(purchases.times[purchases.product == UNKNOWN].sum())
    if unknown:
        found = f"{unknown} of {purchases.rows} training rows with a product that is not in the catalogue"
        remedy = "Run the VocabBuilder on these examples and use their own metadata.json."
        raise InputError(path, found, "products of the vocabulary and of metadata.json", remedy)


def sample(purchases: Purchases, groups: int, seed: int) -> Purchases:
    """The purchases of `groups` queries drawn at random, or all."""
    if purchases.groups <= groups:
        return purchases
    chosen = np.sort(np.random.default_rng(seed).choice(purchases.groups, groups, replace=False))
    lengths = np.diff(purchases.splits)[chosen]
    splits = np.concatenate([[0], np.cumsum(lengths)])
    pairs = ranges(purchases.splits[chosen], lengths)
    queries = {key: column[chosen] for key, column in purchases.queries.items()}
    return Purchases(queries, splits, purchases.product[pairs], purchases.times[pairs])


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """starts[0], starts[0] + 1, … (lengths[0] of them), starts[1], …: int64 [sum of lengths]."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)
