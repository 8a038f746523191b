"""The compiled pipelines, checked with KFP's own protobufs."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

import compile as compiler
from components.common import cli
from components.common.errors import InputError
from pipelines.job import Job
from pipelines.machines import Machine
from pipelines.steps import PARTS, STEPS, Settings
from tests.command_line import Result, result_of
from tests.pipelines.specs import CLUSTER, GPU, trainer_of

JOB = ("--project", "my-project", "--region", "europe-west3", "--pipeline-root", "gs://my-bucket/runs")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def document() -> dict:
    return compiler.spec("europe-docker.pkg.dev/shop/recs", "v7", settings=GPU)


def compiled_here(capsys: pytest.CaptureFixture[str], *flags: str) -> Result:
    """What the command leaves behind, called in this process."""
    return result_of(partial(cli.run, compiler.compile_pipeline), capsys, "compile.py", *flags)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("settings", [Settings(), GPU, CLUSTER], ids=["cpu", "gpu", "cluster"])
@pytest.mark.parametrize("component", ["", *PARTS])
def test_every_part_parses_strictly(component: str, settings: Settings) -> None:
    document = compiler.spec(component=component, settings=settings)
    json_format.ParseDict(document, pb.PipelineSpec())
    executors = document["deploymentSpec"]["executors"]
    assert len(executors) == (len(document["root"]["dag"]["tasks"]) if component else 5)
    for executor in executors.values():
        json_format.ParseDict(executor, pb.PipelineDeploymentConfig.ExecutorSpec())


def test_images_carry_registry_and_tag(document: dict) -> None:
    executors = document["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == {
        "europe-docker.pkg.dev/shop/recs/metro-recs/data:v7",
        "europe-docker.pkg.dev/shop/recs/metro-recs/trainer:v7",
    }
    accelerator = trainer_of(document)["resources"]["accelerator"]
    assert (accelerator["type"], accelerator["count"]) == ("NVIDIA_TESLA_T4", "2")
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("NVIDIA_TESLA_T4", "2")


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


def test_further_trainings_are_the_pipelines_to_ask_for(document: dict) -> None:
    taken = document["root"]["dag"]["tasks"]["trainer"]["inputs"]["parameters"]
    asked = document["root"]["inputDefinitions"]["parameters"]
    for name, default in (("ablate", False), ("ablation_seeds", 3), ("refit", False)):
        assert taken[name] == {"componentInputParameter": name}
        assert asked[name]["defaultValue"] == default


def test_parameters_reach_the_parameters_of_their_name(document: dict) -> None:
    names = set(document["root"]["inputDefinitions"]["parameters"])
    for task in document["root"]["dag"]["tasks"].values():
        for name, given in task["inputs"].get("parameters", {}).items():
            if name in names:
                assert given == {"componentInputParameter": name}
    thresholds = {"champion", "must_beat", "margin", "slice_margin", "min_coverage", "floors", "ks"}
    assert thresholds <= set(document["root"]["dag"]["tasks"]["evaluator"]["inputs"]["parameters"])


@pytest.mark.parametrize(
    ("uncached", "expected"),
    [
        ((), ["data-extractor", "exporter"]),
        (("trainer", "exporter"), ["data-extractor", "trainer", "exporter"]),
    ],
)
def test_ingest_and_release_are_never_cached(uncached: tuple[str, ...], expected: list[str]) -> None:
    tasks = compiler.spec(settings=Settings(uncached=uncached))["root"]["dag"]["tasks"]
    cached = {name: task.get("cachingOptions", {}).get("enableCache", False) for name, task in tasks.items()}
    assert sorted(name for name, cache in cached.items() if not cache) == sorted(expected)


def test_retries() -> None:
    tasks = compiler.spec(settings=Settings(retries=("trainer=5", "evaluator=0")))["root"]["dag"]["tasks"]
    assert tasks["trainer"]["retryPolicy"]["maxRetryCount"] == 5
    assert "retryPolicy" not in tasks["evaluator"]
    policy = json_format.ParseDict(tasks["data-extractor"]["retryPolicy"], pb.PipelineTaskSpec.RetryPolicy())
    assert (policy.max_retry_count, policy.backoff_duration.seconds, policy.backoff_factor) == (2, 60, 2.0)


def test_limits_and_requests(document: dict) -> None:
    for name in STEPS:
        resources = document["deploymentSpec"]["executors"][f"exec-{name}"]["container"]["resources"]
        assert 1 <= resources["cpuRequest"] <= resources["cpuLimit"] <= 96
        assert 4 <= resources["memoryRequest"] <= resources["memoryLimit"] <= 624  # gigabytes
    big = trainer_of(compiler.spec(settings=Settings(machine=Machine(trainer_cpu="32", trainer_memory="120G"))))
    assert (big["resources"]["cpuLimit"], big["resources"]["memoryLimit"]) == (32.0, 120.0)
    assert (big["resources"]["resourceCpuLimit"], big["resources"]["resourceMemoryLimit"]) == ("32", "120G")


@pytest.mark.parametrize("component", ["", *PARTS])
def test_nothing_is_for_vertex_ai_only_unless_asked_for(component: str) -> None:
    document = compiler.spec(component=component)
    types = [part["schemaTitle"] for part in found(document, "schemaTitle")]
    assert types
    assert all(title.startswith("system.") for title in types)
    images = {part["image"] for part in found(document, "image")}
    assert images <= {"metro-recs/data:latest", "metro-recs/trainer:latest"}
    assert not found(document, "accelerator")
    text = json.dumps(document)
    for mark in ("google_cloud_pipeline_components", "pipeline_google_cloud", "gcp_resources", "worker_pool_specs"):
        assert mark not in text
    wanted = json.dumps(compiler.spec(settings=CLUSTER))  # what these marks look like where they are
    assert all(mark in wanted for mark in ("pipeline_google_cloud", "gcp_resources", "worker_pool_specs"))


def found(part: object, key: str) -> list[dict]:
    """All objects in a document that have this key."""
    if isinstance(part, list):
        return [each for item in part for each in found(item, key)]
    if not isinstance(part, dict):
        return []
    return [*([part] if key in part else []), *(each for item in part.values() for each in found(item, key))]


def test_compiling_twice_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def flags(name: str) -> list[str]:
        body = ["--job-body", str(tmp_path / name / "job.json"), "--parameters", "purchases=a.b.c", "products=a.b.d"]
        return ["--output", str(tmp_path / name / "pipeline.json"), *JOB, *body]

    environment = {**os.environ, "PYTHONHASHSEED": "random"}  # other hashes of strings than in this process
    subprocess.run([sys.executable, "compile.py", *flags("one")], cwd=ROOT, env=environment, check=True)
    assert compiled_here(capsys, *flags("two")).code == 0
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    assert set(one) == {"pipeline.json", "pipeline.yaml", "job.json", *(f"reruns/{name}.json" for name in PARTS)}


def test_the_committed_pipelines_are_up_to_date() -> None:
    compiler.compile_pipeline(output=str(ROOT / "pipeline.json"), check=True)


def test_the_yaml_twin_says_the_same(tmp_path: Path) -> None:
    compiler.compile_pipeline(GPU, output=str(tmp_path / "pipeline.json"))
    twin = yaml.safe_load((tmp_path / "pipeline.yaml").read_text(encoding="utf-8"))
    assert twin == json.loads((tmp_path / "pipeline.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stale", ["pipeline.json", "pipeline.yaml", "reruns/evaluator.json", "job.json"])
def test_a_stale_file_is_found(stale: str, tmp_path: Path) -> None:
    job = Job(job_body=str(tmp_path / "job.json"), parameters=("purchases=a.b.c", "products=a.b.d"))

    def write(check: bool) -> None:
        output = str(tmp_path / "pipeline.json")
        compiler.compile_pipeline(
            job=job, output=output, registry="eu.pkg.dev/x", pipeline_root="gs://abc", check=check
        )

    write(check=False)
    write(check=True)
    text = (tmp_path / stale).read_text()
    (tmp_path / stale).write_text(text + " ")
    with pytest.raises(InputError, match=f"{stale}: found a stale or missing file"):
        write(check=True)
    assert (tmp_path / stale).read_text() == text + " "


def test_project_and_region_name_the_registry(tmp_path: Path) -> None:
    output = tmp_path / "pipeline.json"
    compiler.compile_pipeline(output=str(output), project="my-project", region="europe-west4", tag="v1")
    image = trainer_of(json.loads(output.read_text()))["image"]
    assert image == "europe-west4-docker.pkg.dev/my-project/metro-recs/trainer:v1"


def test_a_pipeline_root_is_every_run_s_default() -> None:
    assert compiler.spec(pipeline_root="gs://my-bucket/runs/")["defaultPipelineRoot"] == "gs://my-bucket/runs"
    assert "defaultPipelineRoot" not in compiler.spec()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--registry", "https://eu.pkg.dev/shop"], "--registry: found 'https://eu.pkg.dev/shop', expected a host"),
        (["--tag", "no spaces"], "--tag: found 'no spaces', expected letters"),
        (["--project", "My_Project"], "--project: found 'My_Project', expected a project's id"),
        (["--region", "Frankfurt"], "--region: found 'Frankfurt', expected a region such as europe-west3"),
        (["--pipeline-root", "gs:///runs"], "--pipeline-root: found 'gs:///runs', expected gs://BUCKET"),
        (["--retries", "trainr=1"], "--retries: found 'trainr', expected one of data-extractor"),
        (["--retries", "trainer=many"], "--retries: found trainer=many, expected trainer= and a whole number, 0 to 10"),
        (["--uncached", "trainr"], "--uncached: found 'trainr', expected one of data-extractor"),
        (["--accelerator", "TPU_V9"], "--accelerator: found TPU_V9, expected one of NVIDIA_A100_80GB"),
    ],
)
def test_a_wrong_choice_is_a_sentence_and_nothing_is_written(
    flags: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = compiled_here(capsys, "--output", str(tmp_path / "pipeline.json"), *flags)
    assert done.code == 2
    assert done.err.startswith(f"error: {sentence}")
    assert done.err.count("\n") == 1
    assert contents(tmp_path) == {}


def test_a_name_is_checked_whether_or_not_it_names_the_registry(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--project: found 'My_Project'"):
        compiler.compile_pipeline(output=str(tmp_path / "pipeline.json"), project="My_Project", registry="eu.pkg.dev/x")
    assert contents(tmp_path) == {}


def test_where_a_file_cannot_be_written_none_is(tmp_path: Path) -> None:
    output = str(tmp_path / "pipeline.json")
    compiler.compile_pipeline(output=output)
    before = contents(tmp_path)
    (tmp_path / "taken").write_text("a file in the place of a folder")
    job = Job(job_body=str(tmp_path / "taken" / "job.json"), parameters=("purchases=a.b.c", "products=a.b.d"))
    with pytest.raises(InputError, match="expected to be written"):
        compiler.compile_pipeline(job=job, output=output, registry="eu.pkg.dev/x", pipeline_root="gs://abc")
    (tmp_path / "taken").unlink()
    assert contents(tmp_path) == before


def test_a_reader_who_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "compile.py", "--output", str(tmp_path / "pipeline.json")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert {*contents(tmp_path)} == {"pipeline.json", "pipeline.yaml", *(f"reruns/{name}.json" for name in PARTS)}


def test_strict_validation_names_a_field_that_kfp_does_not_know(document: dict) -> None:
    broken = json.loads(json.dumps(document))
    trainer_of(broken)["imagine"] = "x"
    with pytest.raises(json_format.ParseError, match="imagine"):
        compiler.validate(broken)
