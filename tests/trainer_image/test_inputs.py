"""Rows and batches against the rows that were written."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.common import feature_config as fc
from components.common.errors import InputError
from components.common.vocabularies import read_vocabularies
from tests.trainer_image.conftest import Shop, write_shard
from trainer_image import inputs
from trainer_image.features import Encoder


def encoder(shop: Shop) -> Encoder:
    return Encoder(fc.load("feature_config.yaml").query, read_vocabularies(shop.vocabularies), shop.vocabularies)


def load(shop: Shop, path: str, split: str) -> inputs.Rows:
    return inputs.load(path, split, encoder(shop), sorted(shop.products))


def test_rows_are_those_that_were_written(shop: Shop) -> None:
    rows = load(shop, shop.examples, "test")
    tokens = read_vocabularies(shop.vocabularies)["cust_person_id"]["tokens"]
    found = Counter((tokens[c - 1], int(p)) for c, p in zip(rows.query["cust_person_id"], rows.target, strict=True))
    order = sorted(shop.products)
    assert found == Counter((row["cust_person_id"], order.index(str(row["product_id"]))) for row in shop.rows["test"])


def test_rows_do_not_depend_on_their_order_in_the_files(shop: Shop, tmp_path: Path) -> None:
    backwards = shop.rows["test"][::-1]
    write_shard(tmp_path / "test" / "part-00000-of-00001.tfrecord.gz", backwards)
    one, other = load(shop, shop.examples, "test"), load(shop, str(tmp_path), "test")
    np.testing.assert_array_equal(one.target, other.target)
    for key, value in one.query.items():
        np.testing.assert_array_equal(value, other.query[key])


def test_input_that_is_not_split_is_split_80_15_5_without_overlap(shop: Shop, tmp_path: Path) -> None:
    write_shard(tmp_path / "part-00000-of-00001.tfrecord.gz", shop.rows["train"])
    sizes = [len(load(shop, str(tmp_path / "part-*"), split).target) for split in ("train", "validation", "test")]
    assert sum(sizes) == len(shop.rows["train"])
    np.testing.assert_allclose(np.array(sizes) / sum(sizes), [0.8, 0.15, 0.05], atol=0.03)


def test_an_epoch_passes_every_row_at_most_once_and_epochs_differ(shop: Shop) -> None:
    rows = inputs.Rows({"row": np.arange(105, dtype=np.int32)}, np.arange(105, dtype=np.int32))
    batches = [target.numpy() for _, target in inputs.batches(rows, 20, 2, 5, tf.distribute.get_strategy())]
    assert [len(batch) for batch in batches] == [20] * 10
    first, second = np.concatenate(batches[:5]), np.concatenate(batches[5:])
    assert len(set(first)) == len(set(second)) == 100
    assert first.tolist() != second.tolist()
    again = [target.numpy() for _, target in inputs.batches(rows, 20, 2, 5, tf.distribute.get_strategy())]
    np.testing.assert_array_equal(batches, again)


def test_equal_queries_are_embedded_once() -> None:
    rows = inputs.Rows(
        {"id": np.array([2, 1, 2, 1], np.int32), "x": np.array([[0.5], [0.5], [0.5], [0.7]], np.float32)},
        np.zeros(4, np.int32),
    )
    queries, index = inputs.unique_queries(rows)
    assert len(queries["id"]) == 3
    np.testing.assert_array_equal(queries["id"][index], rows.query["id"])
    np.testing.assert_array_equal(queries["x"][index], rows.query["x"])


def test_a_batch_larger_than_the_data_is_refused() -> None:
    rows = inputs.Rows({}, np.zeros(10, np.int32))
    with pytest.raises(InputError, match=r"--batch-size: found 11 rows .* at most the 10 training rows"):
        inputs.steps_per_epoch(rows, 11, 1)


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
