"""The synthetic log against TensorFlow's own reading of it, and its truth by brute force."""

import functools
import hashlib
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import train_data, train_rows
from benchmarks.train_data import make
from benchmarks.train_world import Purchases, truth, world
from components.common import schema
from components.common.errors import InputError

SHAPE = {"rows": 20_000, "customers": 300, "products": 120, "seed": 3}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs") / "log"
    make(str(folder), **SHAPE)
    return folder


@functools.cache
def rows_of(log: Path, split: str) -> list[dict[str, Any]]:
    """Every Example, parsed by protobuf."""
    files = sorted(str(path) for path in (log / "examples" / split).iterdir())
    rows = []
    gzip = tf.io.TFRecordOptions("GZIP")
    for record in itertools.chain.from_iterable(tf.compat.v1.io.tf_record_iterator(file, gzip) for file in files):
        features = tf.train.Example.FromString(record).features.feature
        values = {name: getattr(feature, feature.WhichOneof("kind")).value[0] for name, feature in features.items()}
        rows.append({name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()})
    return rows


def digest(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_vocabularies_count_the_train_rows(log: Path) -> None:
    rows = rows_of(log, "train")
    document = json.loads((log / "vocabularies.json").read_text())
    assert document["rows"] == len(rows)
    tokens = [schema.CUSTOMER, schema.PRODUCT, "city", schema.CATEGORY, schema.SUBCATEGORY]
    assert sorted(document["features"]) == sorted([*tokens, "revenue"])
    for name in tokens:
        expected = sorted(Counter(str(row[name]) for row in rows).items(), key=lambda item: (-item[1], item[0]))
        assert document["features"][name] == {"tokens": [t for t, _ in expected], "counts": [n for _, n in expected]}
    revenue = np.array([row["revenue"] for row in rows], np.float64)
    found = document["features"]["revenue"]
    assert found["count"] == len(rows)
    np.testing.assert_allclose([found["mean"], found["variance"]], [revenue.mean(), revenue.var()], rtol=1e-9)
    np.testing.assert_allclose(found["quantiles"], np.quantile(revenue, np.arange(101) / 100), rtol=1e-9)


def test_metadata_describes_the_rows(log: Path) -> None:
    metadata = schema.read_metadata(str(log / "examples" / "metadata.json"))
    assert len(metadata["products"]) == SHAPE["products"]
    total = 0
    for split, share in (("train", 0.8), ("validation", 0.15), ("test", 0.05)):
        rows = rows_of(log, split)
        times = [row[schema.TIMESTAMP] for row in rows]
        expected = {"rows": len(rows), "first_timestamp": min(times), "last_timestamp": max(times), "shards": 4}
        assert metadata["splits"][split] == expected
        assert abs(len(rows) - share * SHAPE["rows"]) < 5 * (SHAPE["rows"] * share * (1 - share)) ** 0.5
        for row in rows:
            assert {name: type(row[name]) for name in row} == {
                name: {"string": str, "int64": int, "float": float}[kind] for name, kind in metadata["schema"].items()
            }
            product = {name: row[name] for name in schema.PRODUCT_COLUMNS}
            assert metadata["products"][str(row[schema.PRODUCT])] == product
        total += len(rows)
    assert total == SHAPE["rows"]


def test_one_revenue_and_one_city_a_customer(log: Path) -> None:
    rows = [row for split in schema.SPLITS for row in rows_of(log, split)]
    assert len({(row[schema.CUSTOMER], row["revenue"], row["city"]) for row in rows}) == len(
        {row[schema.CUSTOMER] for row in rows}
    )


def test_popularity_by_brute_force(log: Path) -> None:
    counts = Counter(row[schema.PRODUCT] for row in rows_of(log, "train"))
    catalogue = [int(product) for product in schema.read_metadata(str(log / "examples/metadata.json"))["products"]]
    told = json.loads((log / "truth.json").read_text())["recall_of_popularity"]
    for k in (5, 10, 50, 100):
        hits = []
        for row in rows_of(log, "test"):
            own = counts[row[schema.PRODUCT]]
            above = sum(counts[product] > own for product in catalogue)
            equal = sum(counts[product] == own for product in catalogue)  # itself among them
            hits.append(min(max((k - above) / equal, 0), 1))
        assert told[str(k)] == pytest.approx(np.mean(hits), abs=1e-12)


def test_rows_follow_the_probabilities(log: Path) -> None:
    """Products bought by the busiest customers, and by all, by a chi-squared test against the world's probabilities."""
    here = world(SHAPE["customers"], SHAPE["products"], SHAPE["seed"])
    rows = [row for split in schema.SPLITS for row in rows_of(log, split)]
    place = {int(product): index for index, product in enumerate(here.ids)}
    bought = np.zeros((SHAPE["customers"], SHAPE["products"]))
    for row in rows:
        bought[int(row[schema.CUSTOMER]), place[row[schema.PRODUCT]]] += 1
    shares = here.probabilities(np.arange(SHAPE["customers"])).astype(np.float64)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    busiest = np.argsort(-bought.sum(axis=1))[:20]
    for found, expected in (
        (bought.sum(axis=0), bought.sum(axis=1) @ shares),
        (bought[busiest].ravel(), (bought[busiest].sum(axis=1)[:, None] * shares[busiest]).ravel()),
    ):
        enough = expected >= 5
        statistic = (np.square(found - expected) / expected)[enough].sum()
        # Mean and variance of chi-squared are its degrees of freedom and twice that; 5 standard deviations.
        assert abs(statistic - enough.sum()) < 5 * (2 * enough.sum()) ** 0.5


def test_true_probabilities_by_hand(log: Path) -> None:
    here = world(SHAPE["customers"], SHAPE["products"], SHAPE["seed"])
    customer = np.array([5, 5, 7], np.int32)
    order = np.argsort(-here.probabilities(np.array([5, 7])), axis=1)
    product = np.array([order[0, 0], order[0, 9], order[1, 60]], np.int32)  # in first, tenth and 61st place
    told = truth(here, Purchases(customer, product, np.zeros(3, np.int64), np.full(3, 2, np.int8)))
    assert told["recall_of_true_probabilities"] == pytest.approx({5: 1 / 3, 10: 2 / 3, 50: 2 / 3, 100: 1})


def test_truth_is_far_above_popularity(log: Path) -> None:
    told = json.loads((log / "truth.json").read_text())
    assert told["recall_of_true_probabilities"]["10"] > 1.5 * told["recall_of_popularity"]["10"]


def test_the_same_arguments_give_the_same_files(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this process writes them, as those of few rows, or several do."""
    with monkeypatch.context() as patch:
        patch.setattr(train_data, "FEW", 0)
        make(str(tmp_path / "again"), **SHAPE)
    assert digest(tmp_path / "again") == digest(log)
    make(str(tmp_path / "other"), **{**SHAPE, "seed": 4})
    assert digest(tmp_path / "other") != digest(log)


def test_what_is_there_is_kept(log: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in log.rglob("*")}
    make(str(log), **SHAPE)
    assert {path: path.stat().st_mtime_ns for path in log.rglob("*")} == before
    with pytest.raises(InputError, match=r"Delete the folder"):
        make(str(log), **{**SHAPE, "rows": 30_000})


def test_raw_and_encoded_rows_are_those_of_the_shards(log: Path) -> None:
    rows = rows_of(log, "train")
    document = json.loads((log / "vocabularies.json").read_text())["features"]
    raw, encoded = train_rows.raw(str(log), "train"), train_rows.encoded(str(log), "train")
    assert len(raw["revenue"]) == len(rows)
    catalogue = document[schema.PRODUCT]
    for number in range(0, len(rows), 997):
        row = rows[number]
        assert raw[schema.CUSTOMER][number].decode() == row[schema.CUSTOMER]
        assert raw[schema.PRODUCT][number].decode() == str(row[schema.PRODUCT])
        assert raw[train_rows.ID][number] == row[schema.PRODUCT]
        target = encoded.target[number]
        assert catalogue["tokens"][target] == str(row[schema.PRODUCT])
        assert raw[train_rows.SHARE][number] == pytest.approx(catalogue["counts"][target] / len(rows))
        assert encoded.share[target] == pytest.approx(catalogue["counts"][target] / len(rows))
        assert document[schema.CUSTOMER]["tokens"][encoded.customer[number] - 1] == row[schema.CUSTOMER]
        assert document["city"]["tokens"][encoded.city[number] - 1] == row["city"]
        assert document[schema.CATEGORY]["tokens"][encoded.category[target] - 1] == row[schema.CATEGORY]
        assert document[schema.SUBCATEGORY]["tokens"][encoded.subcategory[target] - 1] == row[schema.SUBCATEGORY]
    np.testing.assert_allclose([encoded.revenue.mean(), encoded.revenue.std()], [0, 1], atol=1e-4)
    assert encoded.cross.min() >= 0
    assert encoded.cross.max() < encoded.sizes["cross"]
    assert len(train_rows.raw(str(log), "train", 100)["revenue"]) == 100
