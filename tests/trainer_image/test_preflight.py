"""What is said before training, what is refused, and whether the estimate is true."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.common import feature_config as fc
from components.common.errors import InputError
from components.common.schema import read_metadata
from components.common.vocabularies import read_vocabularies
from tests.toy_shops import Shop
from trainer_image import machine, preflight
from trainer_image.model import Encoders, TwoTower
from trainer_image.preflight import Plan, Side

MIB, GIB = 1 << 20, 1 << 30
PROCESS = 830 * MIB
KINDS = """
query:
  features:
    - {kind: id, name: cust_person_id, dim: 16}
    - {kind: numeric, name: revenue}
    - {kind: numeric, name: revenue, transform: bucketize, dim: 4}
    - {kind: temporal, name: timestamp, periods: [hour, month]}
  layers: [10, 6]
candidate:
  features:
    - {kind: cross, names: [stratbuy_domain_desc, mge_main_cat_desc], buckets: 50, dim: 8}
  layers: [6]
"""


def small(**changes: Any) -> Plan:
    """One replica; 1,000 customers of 8 and a number, 100 products of 16."""
    base = Plan(
        query=Side({"customer": (1000, 8)}, (9, 20, 4)),
        candidate=Side({"product": (100, 16)}, (16, 4)),
        loss="full-catalogue",
        devices=("/device:CPU:0",),
        replicas=1,
        batch_size=64,
        queries=50,
        candidates=100,
        rows=1000,
        steps=15,
        cached_bytes=12_345,
    )
    return base._replace(**changes)


def test_every_parameter_of_the_model_is_counted(shop: Shop) -> None:
    config = fc.load(KINDS)
    paths = {"vocabularies": shop.vocabularies, "metadata": shop.metadata}
    products = read_metadata(shop.metadata)["products"]
    encoders = Encoders(config, read_vocabularies(shop.vocabularies), products, paths)
    sizes: dict[str, Any] = {
        "replicas": 1,
        "batch_size": 8,
        "queries": 8,
        "candidates": 12,
        "rows": 2000,
        "steps": 250,
        "cached_bytes": 0,
    }
    plan = preflight.plan(config, encoders, loss="in-batch", devices=["/device:CPU:0"], **sizes)
    model = TwoTower(config, encoders, l1=0.0)
    assert [(tower, key) for tower, key, *_ in plan.tables()] == [
        ("query", "cust_person_id"),
        ("query", "revenue_bucket"),
        ("candidate", "stratbuy_domain_desc_x_mge_main_cat_desc"),
    ]
    for tower, key, rows, dim, _ in plan.tables():
        table = (model.query_tower if tower == "query" else model.candidate_tower).tables[key]
        assert table.embeddings.shape == (rows, dim)
    assert plan.query.widths == (16 + 1 + 4 + 4, 10, 6)
    in_tables = sum(rows * dim for _, _, rows, dim, _ in plan.tables())
    assert in_tables + plan.dense == sum(int(tf.size(weight)) for weight in model.weights)


def test_the_parts_of_the_estimate() -> None:
    """8,000 + 1,600 parameters in tables; (9 + 1) 20 + (20 + 1) 4 and 16 x 4 in Dense layers: 9,948, of 4 bytes."""
    assert small().dense == 348
    assert preflight.memory(small()) == {
        "host": {
            "weights": 39_792,
            "Adam's moments": 79_584,
            "gradients": 3 * 39_792,
            "layers": 4 * 2 * (50 * (9 + 20 + 4) + 100 * (16 + 4)),
            "logits": 10 * 50 * 100,
            "best weights": 39_792,
            "checkpoint": 4 * 39_792,
            "cached rows": 12_345,
            "TensorFlow": PROCESS,
        }
    }


def test_a_table_that_is_updated_by_row_has_no_gradient_of_its_size() -> None:
    wide = small(query=Side({"customer": (1_000_000, 8)}, (9, 20, 4)))
    assert [by_row for *_, by_row in wide.tables()] == [True, False]
    assert preflight.memory(wide)["host"]["gradients"] == 4 * (8_000_000 + 3 * (1_600 + 348))
    crowded = wide._replace(queries=300_000)  # a step sees most of the rows
    assert [by_row for *_, by_row in crowded.tables()] == [False, False]


def test_replicas_share_the_memory_of_the_machine_and_have_that_of_their_gpu() -> None:
    one = preflight.memory(small())["host"]
    two = preflight.memory(small(devices=("/device:CPU:0", "/device:CPU:1"), replicas=2))["host"]
    for part in ("weights", "Adam's moments", "layers", "logits"):
        assert two[part] == 2 * one[part]
    assert two["gradients"] == 2 * 4 * 39_792  # and one more each, to add them up
    for part in ("best weights", "checkpoint", "cached rows", "TensorFlow"):
        assert two[part] == one[part]
    gpus = preflight.memory(small(devices=("/device:GPU:0", "/device:GPU:1"), replicas=4))
    assert gpus["gpu"]["weights"] == one["weights"]
    assert set(gpus["gpu"]) == {"weights", "Adam's moments", "gradients", "layers", "logits"}
    assert gpus["host"] == {part: one[part] for part in ("best weights", "checkpoint", "cached rows", "TensorFlow")}


def test_a_model_that_waits_for_others_is_counted() -> None:
    plain, ablated = (preflight.memory(small(ablated=ablated))["host"] for ablated in (False, True))
    assert ablated == {**plain, "the finished model": 39_792}
    on_gpu = preflight.memory(small(devices=("/device:GPU:0",), ablated=True))
    assert on_gpu["gpu"]["the finished model"] == 39_792


def test_the_description(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "host_memory", lambda: 3 * GIB)
    lines = preflight.describe(small(cached_bytes=5 * MIB)).splitlines()
    assert lines[:3] == [
        "1 replica, here on /device:CPU:0",
        "1,000 rows, 64 a replica and step: 15 steps an epoch",
        "full-catalogue loss: a replica scores up to 50 queries x 100 products a step",
    ]
    assert [line.split() for line in lines[4:8]] == [
        ["query", "customer", "1,000", "x", "8", "=", "8,000", "0.0"],
        ["candidate", "product", "100", "x", "16", "=", "1,600", "0.0"],
        ["Dense", "layers", "=", "348", "0.0"],
        ["all", "=", "9,948", "0.0"],
    ]
    assert lines[8] == "memory of this machine: about 835 MiB are needed, 3,072 MiB are available"
    assert lines[9] == "  TensorFlow 830, cached rows 5"


def test_a_description_with_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "host_memory", lambda: 3 * GIB)
    monkeypatch.setattr(machine, "gpu_memory", lambda: 16 * GIB)
    wide = small(
        query=Side({"customer": (2**20, 64)}, (65, 20, 4)),
        devices=("/device:GPU:0", "/device:GPU:1"),
        replicas=2,
        steps=7,
    )
    text = preflight.describe(wide)
    assert (
        "2 replicas, here on /device:GPU:0, /device:GPU:1\n1,000 rows, 64 a replica and step: 7 steps an epoch" in text
    )
    assert "67,108,864     256.0  updated by row" in text
    assert "memory of this machine: about 2,110 MiB are needed, 3,072 MiB are available" in text
    assert "memory of each GPU: about 1,024 MiB are needed, 16,384 MiB are available" in text


MANY_QUERIES = small(loss="in-batch", batch_size=16_384, queries=16_384, candidates=16_384)  # 2.7 GiB of logits
WIDE_TABLE = small(query=Side({"customer": (2**20, 512)}, (513, 20, 4)))  # 2 GiB of weights
MANY_PRODUCTS = small(
    query=Side({"customer": (50_000, 8)}, (9, 20, 4)),
    candidate=Side({"product": (10**6, 4)}, (4, 4)),
    batch_size=4096,
    queries=4096,
    candidates=10**6,
)  # 38 GiB of logits
MUCH_DATA = small(cached_bytes=3 * GIB)


@pytest.mark.parametrize(
    ("plan", "free", "largest", "remedy"),
    [
        (MANY_QUERIES, 2.0, "2.5 of them for logits", "Lower --batch-size to 8192, or"),
        (MANY_QUERIES, 1.0, "2.5 of them for logits", "Lower --batch-size to 4096, or"),
        (MANY_QUERIES._replace(loss="full-catalogue"), 1.5, "2.5 of them for logits", "Lower --batch-size to 4096, or"),
        (WIDE_TABLE, 10.0, "8.0 of them for checkpoint", "Give customer dim 256 in the feature config, or"),
        (WIDE_TABLE, 4.0, "8.0 of them for checkpoint", "Give customer dim 64 in the feature config, or"),
        (MANY_PRODUCTS, 30.0, "38.1 of them for logits", "Choose --loss in-batch, or"),
        (MANY_PRODUCTS, 1.9, "38.1 of them for logits", "Choose --loss in-batch, or"),
        (MUCH_DATA, 2.0, "3.0 of them for cached rows", "Lower --cache-gib to 0.75, or"),
        (small(), 0.5, "0.8 of them for TensorFlow", "Use a machine with 0.8 GiB free."),
        (
            WIDE_TABLE._replace(cached_bytes=4 * GIB),
            2.0,
            "8.0 of them for checkpoint",
            "Use a machine with 22.8 GiB free.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, free: float, largest: str, remedy: str
) -> None:
    monkeypatch.setattr(machine, "host_memory", lambda: int(free * GIB))
    with pytest.raises(InputError) as refused:
        preflight.expect_fits(plan)
    assert refused.value.where == "memory of this machine"
    assert refused.value.found.endswith(largest)
    assert refused.value.expected == f"at most the {free} GiB that are available"
    assert refused.value.remedy.startswith(remedy)


def test_what_fits_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = sum(preflight.memory(WIDE_TABLE)["host"].values())
    monkeypatch.setattr(machine, "host_memory", lambda: needed)
    preflight.expect_fits(WIDE_TABLE)
    monkeypatch.setattr(machine, "host_memory", lambda: needed - 1)
    with pytest.raises(InputError):
        preflight.expect_fits(WIDE_TABLE)


def test_a_gpu_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = WIDE_TABLE._replace(devices=("/device:GPU:0",))
    monkeypatch.setattr(machine, "host_memory", lambda: 100 * GIB)
    monkeypatch.setattr(machine, "gpu_memory", lambda: 6 * GIB)
    with pytest.raises(InputError, match=r"memory of each GPU: found .* 4\.0 of them for Adam's moments.* dim 256"):
        preflight.expect_fits(on_gpu)
    monkeypatch.setattr(machine, "gpu_memory", lambda: None)  # where TensorFlow does not say
    preflight.expect_fits(on_gpu)
    assert "memory of each GPU: about 8,193 MiB are needed, how much is available is not known" in preflight.describe(
        on_gpu
    )


def test_a_remedy_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue costs the same for 256 queries as for fewer, so only the other loss helps."""
    monkeypatch.setattr(machine, "host_memory", lambda: int(1.9 * GIB))
    preflight.expect_fits(MANY_PRODUCTS._replace(loss="in-batch", candidates=4096))
    with pytest.raises(InputError):
        preflight.expect_fits(MANY_PRODUCTS._replace(batch_size=1, queries=256))
    monkeypatch.setattr(machine, "host_memory", lambda: 2 * GIB)
    preflight.expect_fits(MANY_QUERIES._replace(batch_size=8192, queries=8192, candidates=8192))


MEASURED = """
import json, sys
from trainer_image import preflight, train
from trainer_image.options import Options
estimates, expect_fits = [], preflight.expect_fits

def noting(plan):
    estimates.append(sum(preflight.memory(plan)["host"].values()))
    expect_fits(plan)

preflight.expect_fits = noting
train.train(Options(**json.loads(sys.argv[1])))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(*estimates, 1024 * int(peak.split()[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(("buckets", "ablate"), [(1000, False), (80_000, False), (80_000, True)])
def test_a_training_takes_about_what_was_estimated(shop: Shop, tmp_path: Path, buckets: int, ablate: bool) -> None:
    """A small model, which is nearly all TensorFlow, and one with a table of 312 MiB, alone and before five others."""
    table = f"{{kind: cross, names: [city, cust_person_id], buckets: {buckets}, dim: 1024}}"
    config = KINDS.replace("    - {kind: numeric, name: revenue}", f"    - {table}")
    config = config.replace(
        "candidate:\n  features:\n", "candidate:\n  features:\n    - {kind: id, name: product_id}\n"
    )
    settings = {"feature_config": config, "epochs": 2, "ablate": ablate}
    options = dataclasses.asdict(shop.options(tmp_path / "model", **settings))
    command = [sys.executable, "-c", MEASURED, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    estimate, peak = (int(word) / MIB for word in done.stdout.splitlines()[-1].split())
    assert 0.65 < estimate / peak < 1.5, f"{estimate:.0f} MiB estimated, {peak:.0f} measured"
    assert (estimate > 3000) is (buckets == 80_000)
