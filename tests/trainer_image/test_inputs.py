"""Purchases against the rows that were written."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common import example_set, examples
from components.common import feature_config as fc
from components.common.errors import InputError
from components.common.example_part import Part
from components.common.vocabularies import read_vocabularies
from tests.toy_shops import Shop, write_shard
from trainer_image import inputs
from trainer_image.cache import Cache, opened
from trainer_image.features import Encoder
from trainer_image.inputs import Purchases

PLENTY = 1 << 30


@contextlib.contextmanager
def rows_of(path: str, split: str) -> Iterator[Part]:
    """A split of examples, or a split alone, in a folder without metadata.json."""
    if os.path.exists(f"{path}/{split}") and not os.path.exists(f"{path}/metadata.json"):
        files = examples.shards(f"{path}/{split}")
        examples.expect_whole(files)
        yield Part(path, files)
        return
    with example_set.opened(path) as found:
        yield found.part(split)


def load(
    shop: Shop,
    path: str,
    split: str,
    budget: int = PLENTY,
    *,
    config: str = "feature_config.yaml",
    by_buyer: bool = False,
) -> Purchases:
    encoder = Encoder(fc.load(config).query, read_vocabularies(shop.vocabularies), shop.vocabularies)
    with opened(budget) as cache, rows_of(path, split) as part:
        found = inputs.load(part, encoder, sorted(shop.products), cache, by_buyer=by_buyer)
        in_files = isinstance(found.product, np.memmap)
        assert in_files is (budget == 0)
        return Purchases({k: np.array(v) for k, v in found.queries.items()}, *(np.array(part) for part in found[1:]))


def test_pairs_are_the_rows_that_were_written(shop: Shop) -> None:
    found = load(shop, shop.examples, "train")
    tokens, order = read_vocabularies(shop.vocabularies)["cust_person_id"]["tokens"], sorted(shop.products)
    customers = [tokens[place - 1] for place in found.queries["cust_person_id"]]
    pairs = zip(found.pair_query(), found.product, found.times, strict=True)
    written = Counter((row["cust_person_id"], str(row["product_id"])) for row in shop.rows["train"])
    assert {(customers[query], order[product]): count for query, product, count in pairs} == written
    assert len(set(customers)) == found.groups == 40
    assert found.rows == len(shop.rows["train"])


CITIES_ONLY = "query: {features: [{kind: text, name: city}]}\ncandidate: {features: [{kind: id, name: product_id}]}"


def test_buyers_are_told_apart_where_the_tower_does_not(shop: Shop, tmp_path: Path) -> None:
    """Customers whom training has not seen too: here two, of one city."""
    rows = [{**row, "cust_person_id": f"new {i % 2}", "city": "Köln"} for i, row in enumerate(shop.rows["test"])]
    write_shard(tmp_path / "test" / "part-00000-of-00001.tfrecord.gz", [*rows, *shop.rows["test"]])
    assert load(shop, str(tmp_path), "test", config=CITIES_ONLY).groups == 3
    found = load(shop, str(tmp_path), "test", config=CITIES_ONLY, by_buyer=True)
    order = sorted(shop.products)
    written = Counter((row["cust_person_id"], row["product_id"]) for row in [*rows, *shop.rows["test"]])
    histograms: dict[Any, dict[int, int]] = {}
    for (customer, product), count in written.items():
        histograms.setdefault(customer, {})[product] = count
    loaded: dict[Any, dict[int, int]] = {}
    for query, product, count in zip(found.pair_query(), found.product, found.times, strict=True):
        loaded.setdefault(int(found.queries[inputs.BUYER][query]), {})[int(order[product])] = int(count)
    assert len(loaded) == found.groups
    assert sorted(map(repr, map(sorted, (of.items() for of in loaded.values())))) == sorted(
        map(repr, map(sorted, (of.items() for of in histograms.values())))
    )


def test_buyers_change_nothing_where_the_tower_tells_them_apart(shop: Shop) -> None:
    plain, by_buyer = (load(shop, shop.examples, "test", by_buyer=by_buyer) for by_buyer in (False, True))
    by_buyer.queries.pop(inputs.BUYER)
    for key, value in plain.queries.items():
        np.testing.assert_array_equal(value, by_buyer.queries[key])
    for expected, found in zip(plain[1:], by_buyer[1:], strict=True):
        np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("budget", [0, PLENTY])
def test_purchases_do_not_depend_on_the_order_of_rows_or_on_where_they_are_kept(
    shop: Shop, tmp_path: Path, budget: int
) -> None:
    write_shard(tmp_path / "test" / "part-00000-of-00001.tfrecord.gz", shop.rows["test"][::-1])
    one, other = load(shop, shop.examples, "test"), load(shop, str(tmp_path), "test", budget)
    for key, value in one.queries.items():
        np.testing.assert_array_equal(value, other.queries[key])
    for expected, found in zip(one[1:], other[1:], strict=True):
        np.testing.assert_array_equal(expected, found)


def test_a_column_that_outgrows_the_budget_moves_to_disk_whole(tmp_path: Path) -> None:
    cache = Cache(100, str(tmp_path))
    column = inputs.Column(cache)
    for start in range(0, 60, 10):
        column.append(np.arange(start, start + 10, dtype=np.int32))
    assert column.array().tolist() == list(range(60))
    assert (cache.in_memory, cache.on_disk) == (0, 240)


def group(query: dict[str, Any], target: list[int], products: int) -> Purchases:
    columns = {key: np.array(value) for key, value in query.items()}
    with opened(PLENTY) as cache:
        return inputs.grouped(columns, np.array(target, np.int32), products, cache)


def test_queries_are_equal_when_all_their_features_are() -> None:
    """By hand: rows 0 and 2 are one query; the others differ in the second feature's last bit, or its second column."""
    above = np.nextafter(np.float32(0.5), np.float32(1))
    wave = np.array([[0.5, 1], [0.5, 1], [0.5, 1], [above, 1], [0.5, 2]], np.float32)
    found = group({"id": np.array([7, 3, 7, 7, 7], np.int32), "wave": wave}, [1, 0, -1, 2, 1], 3)
    rows = {
        (int(found.queries["id"][q]), *found.queries["wave"][q].tolist(), int(p)): int(c)
        for q, p, c in zip(found.pair_query(), found.product, found.times, strict=True)
    }
    assert rows == {
        (3, 0.5, 1.0, 0): 1,
        (7, 0.5, 1.0, -1): 1,
        (7, 0.5, 1.0, 1): 1,
        (7, float(above), 1.0, 2): 1,
        (7, 0.5, 2.0, 1): 1,
    }
    assert found.splits.tolist() == [0, 1, 3, 4, 5]


def test_repeated_purchases_are_one_pair() -> None:
    found = group({"id": np.array([1, 0, 1, 1], np.int32)}, [4, 4, 4, 2], 5)
    assert found.product.tolist() == [4, 2, 4]
    assert found.times.tolist() == [1, 1, 2]
    assert found.product_counts(5).tolist() == [0, 0, 1, 0, 3]


def test_a_sample_keeps_whole_queries() -> None:
    data = group({"id": np.arange(20, dtype=np.int32) // 2}, list(range(20)), 20)
    found = inputs.sample(data, 4, seed=1)
    assert found.groups == 4
    bought = found.product.reshape(4, 2)
    np.testing.assert_array_equal(bought[:, 0], 2 * found.queries["id"])
    np.testing.assert_array_equal(bought[:, 1], 2 * found.queries["id"] + 1)
    assert inputs.sample(data, 10, seed=1) is data


def test_input_that_is_not_split_is_split_80_15_5_without_overlap(shop: Shop, tmp_path: Path) -> None:
    write_shard(tmp_path / "part-00000-of-00001.tfrecord.gz", shop.rows["train"])
    sizes = [load(shop, str(tmp_path / "part-*"), split).rows for split in ("train", "validation", "test")]
    assert sum(sizes) == len(shop.rows["train"])
    np.testing.assert_allclose(np.array(sizes) / sum(sizes), [0.8, 0.15, 0.05], atol=0.03)


def test_no_files_is_a_clear_error(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no files"):
        load(shop, str(tmp_path / "nothing*"), "train")


def test_a_truncated_shard_is_named(shop: Shop, tmp_path: Path) -> None:
    shard = tmp_path / "test" / "part-00000-of-00001.tfrecord.gz"
    write_shard(shard, shop.rows["test"])
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"part-00000-of-00001\.tfrecord\.gz: found damage"):
        load(shop, str(tmp_path), "test")


def test_an_example_without_a_feature_is_named(shop: Shop, tmp_path: Path) -> None:
    rows = [dict(row) for row in shop.rows["test"][:5]]
    del rows[3]["city"]
    write_shard(tmp_path / "test" / "part-00000-of-00001.tfrecord.gz", rows)
    with pytest.raises(InputError, match="record 3, feature city: found only"):
        load(shop, str(tmp_path), "test")


def test_a_feature_of_another_type_is_named(shop: Shop, tmp_path: Path) -> None:
    rows = [dict(row) for row in shop.rows["test"][:5]]
    rows[2]["revenue"] = "a lot"
    write_shard(tmp_path / "test" / "part-00000-of-00001.tfrecord.gz", rows)
    with pytest.raises(InputError, match=r"record 2, feature revenue: found 1 values in bytes_list, expected .* float"):
        load(shop, str(tmp_path), "test")
