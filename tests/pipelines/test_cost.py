"""The estimate against figures worked out by hand from prices.yaml."""

import datetime as dt
import functools
import re
from pathlib import Path

import pytest

from compile import spec
from pipelines import cost, prices
from pipelines.demand import Asked
from pipelines.machines import Machine
from pipelines.steps import Settings

STEPS = ("data-extractor", "vocab-builder", "trainer", "evaluator", "exporter")
START = 4 / 60


@functools.cache
def _compiled(machine: Machine | None) -> dict:
    return spec("europe-west3-docker.pkg.dev/p", "v1", settings=Settings(machine=machine) if machine else Settings())


def _job(machine: Machine | None = None, **values: object) -> dict:
    runtime = {"gcsOutputDirectory": "gs://bucket/runs", "parameterValues": {"purchases": "gs://b/log", **values}}
    return {"pipelineSpec": _compiled(machine), "runtimeConfig": runtime}


def _dollars(found: cost.Estimate, item: str) -> float:
    return sum(line.usd for line in found.lines if line.item == item and line.usd is not None)


def test_machine_hours_by_list_price() -> None:
    found = cost.estimate(_job(), dict.fromkeys(STEPS, 1.0))
    # Four steps on e2-standard-4, the Trainer's 8 CPUs and 30 GB on e2-standard-8.
    assert found.usd == pytest.approx(0.03 + (1 + START) * (4 * 0.154126276 + 0.308252552))
    assert [line.item for line in found.lines] == ["pipeline run", *STEPS]
    assert not found.unknown


def test_gpus_beside_n1_and_inside_a2() -> None:
    t4 = cost.estimate(_job(Machine(accelerator="NVIDIA_TESLA_T4", accelerator_count=2)), {"trainer": 2.0})
    # 8 CPUs and 30 GB, 27.9 GiB: an n1-standard-8 with two T4.
    assert _dollars(t4, "trainer") == pytest.approx((2 + START) * (0.4369977 + 2 * 0.4025))
    cluster = cost.estimate(_job(Machine(machine_type="a2-highgpu-2g", replicas=3, strategy="spot")), {"trainer": 2.0})
    assert _dollars(cluster, "trainer") == pytest.approx((2 + START) * 3 * 8.850497829)
    assert any("spot" in text for text in cluster.assumptions)
    assert set(cluster.unknown) == set(STEPS) - {"trainer"}


def test_hours_follow_from_rows_where_they_are_not_given() -> None:
    rows = 20_000_000
    found = cost.estimate(_job(epochs=10), {"evaluator": 3.0}, rows)
    hours = {line.item: line.hours for line in found.lines}
    # 243,951 rows/s; 80% of the rows, ten times, at 71,901 rows/s.
    assert hours["data-extractor"] == pytest.approx(20e6 / 243_951 / 3600)
    assert hours["trainer"] == pytest.approx(16e6 * 10 / 71_901 / 3600)
    assert hours["evaluator"] == 3.0
    assert any("all 10 epochs" in text for text in found.assumptions)
    assert any("exporter" in text and "not measured" in text for text in found.assumptions)


def test_an_ablation_is_several_trainings() -> None:
    def hours(**values: int | bool) -> float:
        job = _job(None, epochs=10, **values)
        found = {line.item: line.hours for line in cost.estimate(job, {}, 1_000_000).lines}
        return found["trainer"] or 0.0

    assert hours(ablate=True) == pytest.approx(6 * hours())
    assert hours(ablate=True, ablation_seeds=2) == pytest.approx(4 * hours())
    assert hours(ablation_seeds=2) == hours()


def test_a_refit_is_one_more_training_on_more_rows() -> None:
    def hours(**values: float | bool) -> float:
        job = _job(None, epochs=10, **values)
        found = {line.item: line.hours for line in cost.estimate(job, {}, 1_000_000).lines}
        return found["trainer"] or 0.0

    assert hours(refit=True) == pytest.approx((0.8 + 0.95) * 1e7 / 71_901 / 3600)
    assert hours(refit=True, train_share=0.6, validation_share=0.2) == pytest.approx(1.4 * 1e7 / 71_901 / 3600)


def test_the_speeds_are_those_of_the_readme() -> None:
    text = Path("README.md").read_text(encoding="utf-8")
    for speed in (*cost.ROWS_PER_S.values(), cost.TRAINED_ROWS_PER_S):
        assert f"{speed:,}" in text


def test_dataflow_workers_and_bigquery_bytes() -> None:
    options = "--runner=DataflowRunner --max_num_workers=3 --machine_type=n2-standard-4"
    job = _job(purchases="p.shop.purchases", beam_options=options)
    found = cost.estimate(job, dict.fromkeys(STEPS, 0.5), 2**30)
    worker = 4 * 0.056 + 16 * 0.003557 + 25 * 0.000054
    assert _dollars(found, "Dataflow, data-extractor") == pytest.approx(3 * (0.5 + START) * worker)
    assert _dollars(found, "Dataflow, vocab-builder") == pytest.approx(3 * (0.5 + START) * worker)
    # 2^30 rows of 450 bytes are 450 GiB to query, 250 GiB to read.
    assert _dollars(found, "BigQuery") == pytest.approx(450 / 1024 * 6.25 + 250 / 1024 * 1.10)


def test_bigquery_is_unknown_or_bounded_by_the_limit() -> None:
    hours = dict.fromkeys(STEPS, 1.0)
    assert cost.estimate(_job(purchases="p.shop.purchases"), hours).unknown == ["BigQuery"]
    bounded = cost.estimate(_job(purchases="p.shop.purchases", max_bytes_billed=2**40), hours)
    assert _dollars(bounded, "BigQuery") == pytest.approx(2 * 6.25 + 1.10)


def test_max_cost_refuses_what_is_above_and_what_nobody_knows() -> None:
    known = cost.estimate(_job(), dict.fromkeys(STEPS, 1.0))
    cost.expect_below(known, 2.0)
    cost.expect_below(known, 0.0)
    with pytest.raises(ValueError, match=r"an estimate of 1\.02 \$"):
        cost.expect_below(known, 1.0)
    with pytest.raises(ValueError, match="no estimate of vocab-builder"):
        cost.expect_below(cost.estimate(_job(), {step: 1.0 for step in STEPS if step != "vocab-builder"}), 100.0)


def test_an_unknown_step_is_refused_and_a_machine_without_a_price_is_unknown() -> None:
    with pytest.raises(ValueError, match="baker"):
        cost.estimate(_job(), {"baker": 1.0})
    found = cost.estimate(_job(Machine(machine_type="m1-ultramem-40")), dict.fromkeys(STEPS, 1.0))
    assert found.unknown == ["trainer"]
    assert any("m1-ultramem-40 has no price" in text for text in found.assumptions)
    with pytest.raises(ValueError, match="no estimate of trainer"):
        cost.expect_below(found, 100.0)


def test_other_regions_are_dearer_and_unknown_ones_the_dearest() -> None:
    def dollars(region: str) -> float:
        return cost.estimate(_job(), dict.fromkeys(STEPS, 1.0), region=region).usd - 0.03

    here = dollars("us-central1")
    assert dollars("europe-west3") == pytest.approx(1.29 * here)
    assert dollars("mars-north1") == pytest.approx(1.6 * here)
    found = cost.estimate(_job(), {}, region="europe-west3")
    assert any(text.startswith("in europe-west3 everything 1.29 times as dear") for text in found.assumptions)
    factors = [value for name, value in prices.table()["regions"].items() if name != "source"]
    assert max(factors) == prices.table()["regions"]["elsewhere"]


def test_a_custom_job_is_its_machines() -> None:
    pools = [Asked("n1-standard-8"), Asked("n1-standard-8", replicas=3)]
    found = cost.estimate_training(pools, {"epochs": 10}, {}, 20_000_000)
    hours = 16e6 * 10 / 71_901 / 3600
    assert found.usd == pytest.approx((hours + START) * 4 * 0.4369977)
    assert [line.item for line in found.lines] == ["trainer", "trainer"]
    with pytest.raises(ValueError, match="evaluator"):
        cost.estimate_training(pools, {}, {"evaluator": 1.0})


def test_every_price_has_a_source_and_the_table_a_date() -> None:
    table = prices.table()
    assert isinstance(table["date"], dt.date)
    groups = (table["machines"], table["accelerators"], table["dataflow"], table["bigquery"])
    for group in groups:
        for name, entry in group.items():
            assert entry["usd"] > 0, name
            assert entry["source"] in table["sources"], name
    for text in table["sources"].values():
        assert re.match(r"https://\S+, .*\d{4}-\d{2}-\d{2}", text)
    # Twice the machine is twice the price in these families.
    for small, large in (("e2-standard-4", "e2-standard-8"), ("n1-standard-4", "n1-standard-8")):
        assert table["machines"][large]["usd"] == pytest.approx(2 * table["machines"][small]["usd"])
