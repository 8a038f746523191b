"""Evaluator and Exporter find in shards that nobody split what they find, by hand, in the same rows split."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.evaluator.evaluate import evaluate
from components.exporter.export import export
from tests.components.exporter.releases import RECALL
from tests.components.fake_model import BEGIN, CITIES, PRODUCTS, TEST, TRAIN, VALIDATION
from tests.toy_shops import write_shard

BUCKETS = {"train": range(80), "validation": range(80, 95), "test": range(95, 100)}
ROWS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
NAMES = {"art_name": "art_name", "category": "stratbuy_domain_desc", "subcategory": "mge_main_cat_desc"}


def rows_of(split: str) -> list[dict[str, Any]]:
    """The fake world's rows of a split, bought when the hash, taken here by hand, puts them there; no two at once."""
    times, rows = itertools.count(BEGIN), []
    for customer, product in ROWS[split]:
        time = next(
            time
            for time in times
            if int(tf.strings.to_hash_bucket_fast(f"{customer}\x1f{product}\x1f{time}", 100)) in BUCKETS[split]
        )
        rows.append(
            {
                "cust_person_id": customer,
                "product_id": product,
                "revenue": float(len(customer)),
                "city": CITIES.get(customer, "Ulm"),
                "timestamp": time,
                **PRODUCTS[str(product)],
            }
        )
    return rows


@pytest.mark.usefixtures("proof_in_this_process")
@pytest.mark.parametrize("has_lookup", [True, False])
def test_recall_is_that_by_hand(world: dict[str, str], tmp_path: Path, has_lookup: bool) -> None:
    rows = [row for split in ROWS for row in rows_of(split)]
    data = tmp_path / "run [v1]" / "all_data"
    for shard in range(3):
        write_shard(data / f"shard-{shard:05d}-of-00003.tfrecord.gz", rows[shard::3])
    if has_lookup:
        lookup = {key: {said: facts[name] for said, name in NAMES.items()} for key, facts in PRODUCTS.items()}
        (data.parent / "metadata.json").write_text(json.dumps(lookup), encoding="utf-8")

    evaluation, release = tmp_path / "evaluation", tmp_path / "release"
    found = evaluate(
        model=world["model"],
        examples=f"{data}/*.tfrecord.gz",
        vocabularies=world["vocabularies"],
        output_path=str(evaluation),
        ks=(1, 2),
        must_beat="none",
        min_coverage=0.0,
    )
    assert {name: found["metrics"]["model"][name]["value"] for name in RECALL} == pytest.approx(RECALL)
    assert found["rows"] == len(TEST)

    document = export(model=world["model"], examples=str(data), evaluation=str(evaluation), output_path=str(release))
    assert document["verification"]["purchases"] == len(TEST)
    assert {name: document["verification"][name] for name in RECALL} == RECALL
    model = tf.saved_model.load(str(release / "saved_model"))
    outputs = model.recommend(cust_person_id=tf.constant(["cyd"]), k=tf.constant([2]))
    assert outputs["product_names"].numpy().tolist() == [[b"Soap", "Молоко 3,2 %".encode()]]
