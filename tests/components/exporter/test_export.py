import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common.errors import InputError
from components.exporter import warmup
from components.exporter.export import export
from components.exporter.vertex import release
from tests.components import fake_model
from tests.components.exporter.releases import NO, SIGNATURES, YES, figures, write_evaluation

METRICS = figures()


@pytest.fixture(scope="module")
def inputs(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    evaluation = write_evaluation(tmp_path_factory.mktemp("evaluated") / "evaluation")
    return {"model": world["model"], "examples": world["examples"], "evaluation": evaluation}


@pytest.fixture(scope="module")
def released(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    output = tmp_path_factory.mktemp("released") / "release"
    return export(**inputs, output_path=str(output)), output


def test_release_json_says_what_was_proven_and_what_is_there(released: tuple[dict[str, Any], Path]) -> None:
    document, output = released
    assert document == json.loads((output / "release.json").read_text())
    proven = document["verification"]
    assert (proven["purchases"], proven["queries"], proven["lists"], proven["k"]) == (6, 4, 4, 4)
    assert (proven["recall_1"], proven["recall_2"], proven["max_recall_difference"]) == (2.75 / 6, 3.5 / 6, 0)
    assert (proven["mismatches"], proven["warmup_requests"]) == (0, 12)
    assert document["approximate_search"]["index"] == "Flat"
    assert document["model_version"] == "v1"
    assert list(document["metrics"]) == list(METRICS)
    for name, figure in METRICS.items():  # the release's own, whatever the evaluation says of the intervals
        assert document["metrics"][name] == pytest.approx(figure, abs=1e-12)
    assert document["verdict"] == YES
    assert document["embeddings"] == {"products": 4, "dimensions": 4}
    on_disk = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert on_disk == {*document["files"], "release.json"}
    for name, facts in document["files"].items():
        content = (output / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_released_model_recommends_by_name(released: tuple[dict[str, Any], Path]) -> None:
    model = tf.saved_model.load(str(released[1] / "saved_model"))
    outputs = model.recommend(cust_person_id=tf.constant(["cyd"]), k=tf.constant([2]))
    assert outputs["product_ids"].numpy().tolist() == [[14, 13]]
    assert outputs["product_names"].numpy().tolist() == [[b"Soap", "Молоко 3,2 %".encode()]]


def test_warm_up_requests_are_of_every_signature(released: tuple[dict[str, Any], Path]) -> None:
    requests = warmup.read(str(released[1] / "saved_model"))
    assert sorted({request.signature for request in requests}) == sorted(SIGNATURES)
    sizes = [len(request.inputs["cust_person_id"]) for request in requests if request.signature == "recommend"]
    assert sizes == [1, 6]


def test_the_index_configuration(released: tuple[dict[str, Any], Path]) -> None:
    assert json.loads((released[1] / "index.json").read_text()) == {
        "config": {
            "dimensions": 4,
            "approximateNeighborsCount": 150,
            "distanceMeasureType": "DOT_PRODUCT_DISTANCE",
            "featureNormType": "NONE",
            "algorithmConfig": {"treeAhConfig": {"leafNodeEmbeddingCount": 1000, "leafNodesToSearchPercent": 100}},
        }
    }


def test_embeddings_are_lines_that_vector_search_reads(released: tuple[dict[str, Any], Path]) -> None:
    folder = released[1] / "embeddings"
    assert [path.name for path in folder.iterdir()] == ["embeddings.json"]
    lines = [json.loads(line) for line in (folder / "embeddings.json").read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["11", "12", "13", "14"]
    assert [line["embedding"] for line in lines] == np.eye(4).tolist()
    assert lines[1] == {
        "id": "12",
        "embedding": [0.0, 1.0, 0.0, 0.0],
        "restricts": [
            {"namespace": "category", "allow": ["Dairy"]},
            {"namespace": "subcategory", "allow": ["Cream"]},
        ],
        "crowding_tag": "Cream",
    }
    assert lines[3]["restricts"] == [{"namespace": "category", "allow": ["Household"]}]
    assert "crowding_tag" not in lines[3]


def test_a_model_that_the_gate_refused_is_not_released(inputs: dict[str, Any], tmp_path: Path) -> None:
    evaluation = write_evaluation(tmp_path / "evaluation", verdict=NO)
    document = export(**{**inputs, "evaluation": evaluation}, output_path=str(tmp_path / "release"))
    assert [path.name for path in (tmp_path / "release").iterdir()] == ["release.json"]
    assert document == json.loads((tmp_path / "release/release.json").read_text())
    facts = {"format_version": 3, "model_version": "v1", "model": inputs["model"]}
    made_from = {"made_from": {"model": "v1"}}
    del document["fingerprint"]
    assert document == {**facts, **made_from, "verdict": NO}  # no figure: nothing was proven


@pytest.fixture
def refused(inputs: dict[str, Any], tmp_path: Path) -> Callable[..., str]:
    """Runs an export that must fail: returns the error's text, and checks that nothing was left behind."""

    def run(**changes: str) -> str:
        output = tmp_path / "out" / "release"
        output.parent.mkdir()
        with pytest.raises(InputError) as error:
            export(**{**inputs, "output_path": str(output), **changes})
        assert list(output.parent.iterdir()) == []
        return str(error.value)

    return run


@pytest.mark.parametrize("part", ["query_model", "candidate_model"])
def test_a_model_without_a_tower(
    inputs: dict[str, Any], refused: Callable[..., str], tmp_path: Path, part: str
) -> None:
    model = shutil.copytree(inputs["model"], tmp_path / "model")
    shutil.rmtree(model / part)
    assert f"model/{part}: found no saved_model.pb" in refused(model=str(model))


def test_towers_of_different_width(refused: Callable[..., str], tmp_path: Path) -> None:
    model = fake_model.write_model(tmp_path / "model", candidates=np.ones((4, 7)))
    assert "found query embeddings 4 wide, candidate embeddings 7, expected one width" in refused(model=model)


def test_a_product_that_the_examples_do_not_know(refused: Callable[..., str], tmp_path: Path) -> None:
    model = fake_model.write_model(tmp_path / "model", catalogue=[11, 12, 13, 99])
    assert "field products, product 99: found nothing" in refused(model=model)


@pytest.mark.usefixtures("proof_in_this_process")
def test_what_the_proof_finds_stops_the_release(refused: Callable[..., str], tmp_path: Path) -> None:
    evaluation = write_evaluation(tmp_path / "evaluation", {"recall_1": 0.3, "recall_2": 3.5 / 6})
    assert "field metrics.model.recall_1.value: found 0.3, expected 0.458" in refused(evaluation=evaluation)


def test_an_evaluation_of_another_model(refused: Callable[..., str], tmp_path: Path) -> None:
    evaluation = write_evaluation(tmp_path / "evaluation", model_version="v0")
    assert "field model_version: found v0, expected v1" in refused(evaluation=evaluation)


def test_an_evaluation_of_another_format(refused: Callable[..., str], tmp_path: Path) -> None:
    evaluation = write_evaluation(tmp_path / "evaluation", format_version=9)
    assert "field format_version: found 9, expected 2" in refused(evaluation=evaluation)


@pytest.mark.parametrize(
    "verdict",
    [
        {},
        ["no"],
        "yes",
        {"reasons": []},
        {"promote": True},
        {"promote": "false", "reasons": []},
        {"promote": None, "reasons": []},
        {"promote": True, "reasons": NO["reasons"]},
        {"promote": False, "reasons": YES["reasons"]},
        {"promote": True, "reasons": [{"passed": "no"}]},
    ],
)
def test_a_verdict_that_says_neither_yes_nor_no(refused: Callable[..., str], tmp_path: Path, verdict: Any) -> None:
    evaluation = write_evaluation(tmp_path / "evaluation", verdict=verdict)
    assert "evaluation.json, field verdict" in refused(evaluation=evaluation)


@pytest.mark.parametrize("split", ["validation", "train", None])
def test_an_evaluation_of_another_split(refused: Callable[..., str], tmp_path: Path, split: str | None) -> None:
    evaluation = write_evaluation(tmp_path / "evaluation", split=split)
    assert f"field split: found {split!r}, expected test" in refused(evaluation=evaluation)


@pytest.mark.parametrize("metrics", [{"popularity": {}}, ["recall"]])
def test_an_evaluation_without_the_models_figures(refused: Callable[..., str], tmp_path: Path, metrics: Any) -> None:
    evaluation = write_evaluation(tmp_path / "evaluation", metrics=metrics)
    assert "field metrics: found no figures of the model" in refused(evaluation=evaluation)


def test_no_evaluation(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "evaluation.json: found no such file" in refused(evaluation=str(tmp_path / "nowhere"))


def test_of_several_models_the_latest_is_released(inputs: dict[str, Any], tmp_path: Path) -> None:
    models = tmp_path / "models"
    newest = Path(shutil.copytree(inputs["model"], models / "20261129-180000-3f2a"))
    (models / "model_metadata.json").write_text('{"model_version": "v0", "catalogue": ["11"]}')
    (models / "latest").write_text(f"{newest.name}\n")
    evaluation = write_evaluation(tmp_path / "evaluation", verdict=NO)
    given = {**inputs, "model": str(models), "evaluation": evaluation}
    document = export(**given, output_path=str(tmp_path / "release"))
    assert (document["model"], document["model_version"]) == (str(newest), "v1")
    assert release.finished(str(tmp_path / "release"), str(models)) == document
    (models / "latest").write_text(".")
    assert release.finished(str(tmp_path / "release"), str(models)) is None


def test_an_output_path_that_is_taken(inputs: dict[str, Any], released: tuple[dict[str, Any], Path]) -> None:
    with pytest.raises(InputError, match="the output of another run"):
        export(**inputs, output_path=str(released[1]))
