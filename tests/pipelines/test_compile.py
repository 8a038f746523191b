"""The compiled pipeline, checked with KFP's own protobufs."""

import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

import compile as compiler
from components.common.errors import InputError


@pytest.fixture(scope="module")
def document() -> dict:
    return compiler.spec("europe-docker.pkg.dev/shop/recs", "v7", "NVIDIA_TESLA_T4", 2)


def test_every_part_parses_strictly(document: dict) -> None:
    json_format.ParseDict(document, pb.PipelineSpec())
    executors = document["deploymentSpec"]["executors"]
    assert len(executors) == 5
    for executor in executors.values():
        json_format.ParseDict(executor, pb.PipelineDeploymentConfig.ExecutorSpec())


def test_images_carry_registry_and_tag(document: dict) -> None:
    executors = document["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == {
        "europe-docker.pkg.dev/shop/recs/metro-recs/data:v7",
        "europe-docker.pkg.dev/shop/recs/metro-recs/trainer:v7",
    }
    assert executors["exec-trainer"]["container"]["resources"]["accelerator"] == {
        "type": "NVIDIA_TESLA_T4",
        "count": "2",
    }


def test_it_is_a_straight_line_of_five_steps(document: dict) -> None:
    tasks = document["root"]["dag"]["tasks"]
    before = {name: set(task.get("dependentTasks", [])) for name, task in tasks.items()}
    assert before == {
        "data-extractor": set(),
        "vocab-builder": {"data-extractor"},
        "trainer": {"data-extractor", "vocab-builder"},
        "evaluator": {"data-extractor", "vocab-builder", "trainer"},
        "exporter": {"data-extractor", "trainer", "evaluator"},
    }
    assert not any("triggerPolicy" in task for task in tasks.values())


def test_the_ablation_is_the_pipelines_to_ask_for(document: dict) -> None:
    taken = document["root"]["dag"]["tasks"]["trainer"]["inputs"]["parameters"]
    asked = document["root"]["inputDefinitions"]["parameters"]
    for name, default in (("ablate", False), ("ablation_seeds", 3)):
        assert taken[name] == {"componentInputParameter": name}
        assert asked[name]["defaultValue"] == default


def test_ingest_and_release_are_never_cached(document: dict) -> None:
    cached = {
        name: task.get("cachingOptions", {}).get("enableCache", False)
        for name, task in document["root"]["dag"]["tasks"].items()
    }
    assert [name for name, cache in cached.items() if not cache] == ["data-extractor", "exporter"]


def test_compiling_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    texts = []
    for name in ("one.json", "two.json"):
        compiler.compile_pipeline(output=str(tmp_path / name))
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]


def test_the_committed_pipeline_is_up_to_date() -> None:
    compiler.compile_pipeline(check=True)


def test_a_stale_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "pipeline.json").write_text("{}")
    with pytest.raises(InputError, match="stale"):
        compiler.compile_pipeline(output=str(tmp_path / "pipeline.json"), check=True)


def test_an_unknown_accelerator_is_refused() -> None:
    with pytest.raises(InputError, match="--accelerator: found TPU_V9"):
        compiler.spec(accelerator="TPU_V9")


def test_strict_validation_names_a_field_that_kfp_does_not_know(document: dict) -> None:
    broken = json.loads(json.dumps(document))
    broken["deploymentSpec"]["executors"]["exec-trainer"]["container"]["imagine"] = "x"
    with pytest.raises(json_format.ParseError, match="imagine"):
        compiler.validate(broken)
