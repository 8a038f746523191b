import json
from pathlib import Path

import pytest
from kfp import dsl

from components.evaluator.component import evaluator
from components.exporter.component import exporter


@pytest.mark.usefixtures("proof_in_this_process")
def test_evaluator_and_exporter_as_the_pipeline_calls_them(world: dict[str, str], tmp_path: Path) -> None:
    model, examples = dsl.Model(uri=world["model"]), dsl.Dataset(uri=world["examples"])
    evaluation, release = dsl.Artifact(uri=str(tmp_path / "evaluation")), dsl.Model(uri=str(tmp_path / "release"))
    report, metrics, proof = dsl.HTML(uri=str(tmp_path / "report")), dsl.Metrics(), dsl.Metrics()
    evaluator.python_func(
        model=model,
        examples=examples,
        vocabularies=dsl.Artifact(uri=world["vocabularies"]),
        evaluation=evaluation,
        metrics=metrics,
        report=report,
        ks=[1.0, 2.0],  # a pipeline's numbers arrive as floats
        must_beat="none",
        margin=0.02,
        slice_margin=0.03,
        min_coverage="1e-05",  # and kfp.local's small ones as text
        floors={"history.repeat": 0.25},
    )
    assert metrics.metadata["recall_1"] == pytest.approx(2.75 / 6)
    assert metrics.metadata["personal_frequency_recall_2"] == pytest.approx(4 / 6)
    assert (tmp_path / "report").read_text() == (tmp_path / "evaluation/report.html").read_text()
    exporter.python_func(model=model, examples=examples, evaluation=evaluation, release=release, metrics=proof)
    document = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    assert document["verdict"]["thresholds"] == {
        "must_beat": "none",
        "margin": 0.02,
        "slice_margin": 0.03,
        "min_coverage": 1e-5,
        "floors": {"history.repeat": 0.25},
    }
    assert metrics.metadata["promote"] == 1
    assert metrics.metadata["reason_1"] == (
        "yes: Recall@2 in the slice history.repeat is 0.625, not below its floor of 0.25."
    )
    assert (proof.metadata["promoted"], release.metadata["promoted"]) == (1, "true")
    assert (proof.metadata["queries"], proof.metadata["mismatches"]) == (4, 0)
    assert proof.metadata["recall_1"] == metrics.metadata["recall_1"]
    assert release.metadata["model_version"] == "v1"
    assert (tmp_path / "release/release.json").exists()
