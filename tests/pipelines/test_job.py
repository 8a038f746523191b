"""The PipelineJob for REST, checked with Vertex AI's own protobuf."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform_v1
from google.protobuf import json_format

import compile as compiler
from components.common.errors import InputError
from pipelines import job as jobs
from pipelines.job import Job
from pipelines.steps import STEPS

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = ("purchases=shop.log.purchases", "products=shop.log.products")


@pytest.fixture(scope="module")
def document() -> dict:
    return compiler.spec("eu.pkg.dev/shop")


def write(
    folder: Path, parameters: tuple[str, ...] = PARAMETERS, root: str = "gs://my-bucket/runs", **job: Any
) -> dict:
    path = folder / "job.json"
    compiler.compile_pipeline(
        job=Job(job_body=str(path), parameters=parameters, **job),
        output=str(folder / "pipeline.json"),
        project="my-project",
        region="europe-west3",
        pipeline_root=root,
    )
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_body_is_a_pipeline_job(tmp_path: Path) -> None:
    body = write(
        tmp_path,
        (*PARAMETERS, "epochs=20", "learning_rate=1e-3", "ks=[5, 10]", 'floors={"all": 0.2}', "must_beat=ease"),
        service_account="recs@my-project.iam.gserviceaccount.com",
        network="projects/123/global/networks/shop",
        labels=("team=recs", "stage=prod-1"),
        failure_policy="fast",
    )
    message = json_format.ParseDict(body, aiplatform_v1.PipelineJob.pb()())
    assert message.display_name == "metro-recs-training"
    assert message.service_account == "recs@my-project.iam.gserviceaccount.com"
    assert message.network == "projects/123/global/networks/shop"
    assert dict(message.labels) == {"team": "recs", "stage": "prod-1"}
    runtime = message.runtime_config
    assert runtime.gcs_output_directory == "gs://my-bucket/runs"
    policy = aiplatform_v1.PipelineFailurePolicy
    assert runtime.failure_policy == policy.PIPELINE_FAILURE_POLICY_FAIL_FAST
    assert body["runtimeConfig"]["parameterValues"] == {
        "purchases": "shop.log.purchases",
        "products": "shop.log.products",
        "feature_config": (ROOT / "feature_config.yaml").read_text(encoding="utf-8"),
        "project": "my-project",
        "epochs": 20,
        "learning_rate": 0.001,
        "ks": [5, 10],
        "floors": {"all": 0.2},
        "must_beat": "ease",
    }
    assert body["pipelineSpec"] == json.loads((tmp_path / "pipeline.json").read_text(encoding="utf-8"))
    assert set(message.pipeline_spec["deploymentSpec"]["executors"]) == {f"exec-{name}" for name in STEPS}


def test_without_wishes_it_holds_only_what_a_run_needs(tmp_path: Path) -> None:
    body = write(tmp_path)
    assert set(body) == {"displayName", "pipelineSpec", "runtimeConfig"}
    message = json_format.ParseDict(body, aiplatform_v1.PipelineJob.pb()())
    slow = aiplatform_v1.PipelineFailurePolicy.PIPELINE_FAILURE_POLICY_FAIL_SLOW
    assert message.runtime_config.failure_policy == slow


def test_a_parameter_goes_before_what_is_known(tmp_path: Path) -> None:
    values = write(tmp_path, (*PARAMETERS, "project=who-pays"))["runtimeConfig"]["parameterValues"]
    assert values["project"] == "who-pays"


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ("epoch=3", "--parameters: found epoch, expected one of ablate, "),
        ("epochs", "--parameters: found 'epochs', expected name=value"),
        ("purchases=other.log.purchases", "--parameters: found purchases twice, expected every name once"),
        ("epochs=many", "--parameters epochs: found 'many', expected a whole number"),
        ("epochs=2.5", "--parameters epochs: found '2.5', expected a whole number"),
        ("epochs=true", "--parameters epochs: found 'true', expected a whole number"),
        ("learning_rate=NaN", "--parameters learning_rate: found 'NaN', expected a number"),
        ("ks=5", "--parameters ks: found '5', expected a list, as JSON"),
        ("floors=[]", r"--parameters floors: found '\[\]', expected an object, as JSON"),
    ],
)
def test_a_parameter_of_another_name_or_type_is_refused(parameter: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        write(tmp_path, (*PARAMETERS, parameter))
    assert not list(tmp_path.iterdir())


def test_parameters_alone_make_a_job(tmp_path: Path) -> None:
    """`python compile.py --parameters …` and `./submit.sh` are enough: job.json is where that one looks for it."""
    compiler.compile_pipeline(
        job=Job(parameters=PARAMETERS),
        output=str(tmp_path / "pipeline.json"),
        project="my-project",
        region="europe-west3",
        pipeline_root="gs://my-bucket/runs",
    )
    values = json.loads((tmp_path / "job.json").read_text(encoding="utf-8"))["runtimeConfig"]["parameterValues"]
    assert values["purchases"] == "shop.log.purchases"


def test_a_job_takes_no_image_that_docker_hub_would_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the image shop/metro-recs/data:latest, expected one with its registry"):
        compiler.compile_pipeline(
            job=Job(parameters=PARAMETERS),
            output=str(tmp_path / "pipeline.json"),
            registry="shop",
            pipeline_root="gs://my-bucket/runs",
        )
    assert not list(tmp_path.iterdir())


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--parameters: found nothing for products, purchases.*Add --parameters prod"):
        write(tmp_path, ())


def test_a_boolean_is_true_or_false() -> None:
    alone = compiler.spec(component="trainer")
    given = ("examples=gs://b/e", "vocabularies=gs://b/v", "feature_config=x", "jit_compile=true")
    assert jobs.parameter_values(alone, given, {})["jit_compile"] is True
    with pytest.raises(InputError, match="jit_compile: found '1', expected true or false"):
        jobs.parameter_values(alone, (*given[:3], "jit_compile=1"), {})


@pytest.mark.parametrize(
    "root", ["", "runs", "gs://", "gs:///runs", "gs://Bucket/x", "s3://bucket/x", "gs://b", "gs://bucket//x"]
)
def test_a_root_without_a_bucket_is_refused(root: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--pipeline-root: found .*, expected gs://BUCKET"):
        write(tmp_path, root=root)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("label", ["team", "Team=recs", "team=Recs", "1st=x", "=x", "a b=c", "a=b c", f"a={'x' * 64}"])
def test_a_label_that_vertex_ai_refuses_is_refused(label: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--labels: found .*(the key a letter first|name=value)"):
        write(tmp_path, labels=(label,))
    assert not list(tmp_path.iterdir())


def test_a_label_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--labels: found team twice"):
        write(tmp_path, labels=("team=recs", "team=ads"))


def test_labels_in_other_scripts_are_taken_and_too_many_are_not() -> None:
    assert jobs.label_values(("команда=рекомендации", "empty=")) == {"команда": "рекомендации", "empty": ""}
    with pytest.raises(InputError, match="--labels: found 65 labels, expected 64 at most"):
        jobs.label_values([f"label{number}=x" for number in range(65)])


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        ({"service_account": "recs"}, "--service-account: found recs, expected an address"),
        ({"network": "projects/shop/global/networks/x"}, "--network: found projects/shop.*its id"),
        ({"failure_policy": "never"}, "--failure-policy: found 'never', expected one of fast, slow"),
        ({"feature_config": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_what_a_run_cannot_have_is_refused(job: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        write(tmp_path, **job)
    assert not list(tmp_path.iterdir())


def test_a_wrong_feature_config_is_found_before_anything_is_spent(tmp_path: Path) -> None:
    config = tmp_path / "features.yaml"
    config.write_text("query: {features: [{kind: idd, name: x}]}\n")
    with pytest.raises(InputError, match="feature config"):
        write(tmp_path, feature_config=str(config))


def test_images_of_this_machine_are_refused(tmp_path: Path) -> None:
    job = Job(job_body=str(tmp_path / "job.json"), parameters=PARAMETERS)
    with pytest.raises(InputError, match="--registry: found none, expected a registry that Vertex AI can pull"):
        compiler.compile_pipeline(job=job, output=str(tmp_path / "pipeline.json"), pipeline_root="gs://my-bucket")
    assert not list(tmp_path.iterdir())


def test_strict_validation_names_a_field_that_vertex_ai_does_not_know(document: dict) -> None:
    body = jobs.body(document, Job(), "gs://my-bucket", {"purchases": "x"})
    with pytest.raises(json_format.ParseError, match="serviceAcount"):
        jobs.validate({**body, "serviceAcount": "x"})
