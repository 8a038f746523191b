import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common import examples, schema, vocabularies
from components.common.errors import InputError
from components.data_extractor.extract import extract
from components.vocab_builder.build import build_vocabularies

DATAFLOW = (
    "--runner=DataflowRunner --project=my-project --region=europe-west3 --temp_location=gs://bucket/tmp"
    " --sdk_container_image=registry/metro-recs/data:v1"
)
CONFIG = str(Path(__file__).resolve().parents[3] / "feature_config.yaml")


@pytest.fixture(scope="module")
def original(written_log: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("extracted") / "examples"
    extract(purchases=written_log[0], products=written_log[1], output_path=str(folder), feature_config=CONFIG)
    return folder


@pytest.fixture
def extracted(original: Path, tmp_path: Path) -> Path:
    """Examples that a test may damage."""
    return shutil.copytree(original, tmp_path / "examples")


def build(extracted: Path, output: Path, **arguments: Any) -> dict[str, Any]:
    settings = {"feature_config": CONFIG, **arguments}
    return build_vocabularies(examples=str(extracted), output_path=str(output), **settings)


def refused(extracted: Path, output: Path, **arguments: Any) -> str:
    """The message of the InputError; makes sure that nothing was left at the output or beside it."""
    before = set(os.listdir(output.parent))
    with pytest.raises(InputError) as raised:
        build(extracted, output, **arguments)
    assert set(os.listdir(output.parent)) == before
    return str(raised.value)


def test_the_train_split_is_counted(extracted: Path, tmp_path: Path) -> None:
    document = build(extracted, tmp_path / "vocabularies.json")

    rows = examples.read(examples.shards(str(extracted / "train")), schema.EXAMPLE)
    features = vocabularies.read_vocabularies(str(tmp_path / "vocabularies.json"))
    assert features == json.loads(json.dumps(document["features"]))
    assert document["rows"] == len(rows["revenue"])
    # Every id, text and numeric column of the config; the name travels, but is no feature; a cross needs no tokens.
    assert set(features) == {
        "cust_person_id", "product_id", "city", "stratbuy_domain_desc", "mge_main_cat_desc", "revenue"
    }  # fmt: skip
    for name in set(features) - {"revenue"}:
        values = [v.decode() if isinstance(v, bytes) else str(v) for v in rows[name]]
        expected = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
        assert list(zip(features[name]["tokens"], features[name]["counts"], strict=True)) == expected
    revenue = rows["revenue"].astype(np.float64)
    np.testing.assert_allclose(features["revenue"]["mean"], revenue.mean(), rtol=1e-12)
    np.testing.assert_allclose(features["revenue"]["variance"], revenue.var(), rtol=1e-10)
    np.testing.assert_allclose(features["revenue"]["quantiles"], np.quantile(revenue, np.arange(101) / 100))


def test_validation_and_test_rows_are_not_read(extracted: Path, tmp_path: Path) -> None:
    build(extracted, tmp_path / "one.json")
    shutil.rmtree(extracted / "validation")
    shutil.rmtree(extracted / "test")
    build(extracted, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_customer_and_product_are_always_there_and_crosses_never(extracted: Path, tmp_path: Path) -> None:
    config = """
query: {features: [{kind: temporal, name: timestamp}, {kind: cross, names: [city, cust_person_id]}]}
candidate: {features: [{kind: text, name: art_name}]}
"""
    document = build(extracted, tmp_path / "vocabularies.json", feature_config=config)
    assert set(document["features"]) == {"cust_person_id", "product_id", "art_name"}
    assert "two\nlines 4" in document["features"]["art_name"]["tokens"]


def test_a_file_is_not_overwritten(extracted: Path, tmp_path: Path) -> None:
    (tmp_path / "vocabularies.json").write_text("mine")
    assert "found the output of another run" in refused(extracted, tmp_path / "vocabularies.json")
    assert (tmp_path / "vocabularies.json").read_text() == "mine"


def test_unfinished_examples(extracted: Path, tmp_path: Path) -> None:
    (extracted / "metadata.json").unlink()
    assert f"{extracted}/metadata.json: found no such file" in refused(extracted, tmp_path / "v.json")


def test_no_shards(extracted: Path, tmp_path: Path) -> None:
    shutil.rmtree(extracted / "train")
    assert f"{extracted}/train: found no part-*.tfrecord.gz" in refused(extracted, tmp_path / "v.json")


def test_a_truncated_shard(extracted: Path, tmp_path: Path) -> None:
    shard = next((extracted / "train").iterdir())
    shard.write_bytes(shard.read_bytes()[:-2000])
    text = refused(extracted, tmp_path / "v.json")
    assert f"{shard}: found damage after record" in text
    assert "Run the DataExtractor again." in text


def test_a_missing_shard(extracted: Path, tmp_path: Path) -> None:
    shard = next((extracted / "train").iterdir())
    with tf.io.TFRecordWriter(str(shard), "GZIP") as writer:
        writer.write(next(iter(_records(extracted / "validation"))))
    assert f"{extracted}/train: found 1 rows in 1 shards, expected 1," in refused(extracted, tmp_path / "v.json")


def test_a_column_that_the_examples_lack(extracted: Path, tmp_path: Path) -> None:
    config = "query: {features: [{kind: text, name: channel}]}\ncandidate: {features: [{kind: id, name: product_id}]}"
    text = refused(extracted, tmp_path / "v.json", feature_config=config)
    assert "feature channel: found only" in text


def test_a_column_of_another_type(tmp_path: Path) -> None:
    text, number = tf.train.BytesList(value=[b"12"]), tf.train.Int64List(value=[7])
    row = {"cust_person_id": {"bytes_list": text}, "product_id": {"int64_list": number}, "age": {"bytes_list": text}}
    row["timestamp"] = {"int64_list": number}
    (tmp_path / "examples").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "examples/a.tfrecord.gz"), "GZIP") as file:
        features = tf.train.Features(feature={name: tf.train.Feature(**value) for name, value in row.items()})
        file.write(tf.train.Example(features=features).SerializeToString())
    config = "query: {features: [{kind: numeric, name: age}]}\ncandidate: {features: [{kind: id, name: product_id}]}"
    said = refused(tmp_path / "examples", tmp_path / "v.json", feature_config=config)
    assert "feature age: found 1 values in bytes_list, expected 1 value in float_list" in said


def test_dataflow_and_a_local_output(extracted: Path, tmp_path: Path) -> None:
    text = refused(extracted, tmp_path / "v.json", beam_options=DATAFLOW)
    assert "output_path" in text
    assert "expected gs://" in text


def _records(folder: Path) -> list[bytes]:
    files = [str(path) for path in folder.iterdir()]
    return list(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
