"""Bad input, refusals and expired credentials: a sentence, exit code 2, nothing sent."""

from pathlib import Path

import pytest
from google.auth import credentials, exceptions

from components.common.google import Where, sentences
from tests.pipelines.vertex_cli import PARAMETERS, Commands


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (("model=gs://bucket/m",), "Give --input examples=gs://… model=gs://… vocabularies=gs://…"),
        (("model=gs://b/m", "examples=/tmp/e", "vocabularies=gs://bucket/v"), "gs://BUCKET/PATH"),
        (("model",), "name=value"),
    ],
)
def test_rerun_wants_every_artifact(commands: Commands, inputs: tuple[str, ...], said: str) -> None:
    flags = ("--folder", str(commands.folder / "reruns"), "--pipeline-root", "gs://bucket/r", "--no-preflight")
    result = commands("rerun", "evaluator", *flags, "--input", *inputs)
    assert result.code == 2
    assert said in result.err
    assert not commands.server.requests


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("epochs=many",), "a whole number"),
        (("epochs=1.5",), "a whole number"),
        (("epochs=true",), "a whole number"),
        (("learning_rate=NaN",), "a number"),
        (("ks=5",), "a list"),
        (("epoch=5",), "found epoch, expected one of"),
        (("epochs=5", "epochs=6"), "epochs twice"),
        (("split",), "name=value"),
        (("feature_config=towers: [",), "feature config"),
        ((), "--parameters products"),
        (("--labels", "Team=recs"), "Team=recs"),
        (("--labels", "1=recs"), "1=recs"),
        (("--pipeline-root", "gs://"), "gs://BUCKET"),
        (("--pipeline-root", "runs"), "gs://BUCKET"),
        (("--service-account", "me"), "iam.gserviceaccount.com"),
        (("--network", "shop"), "projects/NUMBER/global/networks/NAME"),
        (("--spec", "pipeline.json"), "metro-recs/"),
        (("--spec", "nowhere.json"), "nowhere.json"),
        (("--parameters-file", "nowhere.yaml"), "nowhere.yaml"),
        (("--region", "Frankfurt"), "europe-west3"),
        (("--project", "my project"), "GOOGLE_CLOUD_PROJECT"),
        (("--endpoint", "http://vertex.example.com"), "https://HOST"),
        (("--failure-policy", "never"), "failure-policy"),
        (("--poll", "0"), "--poll"),
        (("--max-cost", "-1"), "--max-cost"),
        (("--estimate", "--rows", "-5"), "--rows"),
        (("--estimate", "--hours", "trainer=nan"), "--hours"),
        (("--estimate", "--hours", "trainer=long"), "a number of hours"),
        (("--estimate", "--hours", "baker=1"), "baker"),
        (("beam_options=--runner='DataflowRunner", "--estimate"), "quotes"),
        (("beam_options=--runner=DataflowRunner --num_workers=few", "--estimate"), "few workers"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(commands: Commands, flags: tuple[str, ...], said: str) -> None:
    needed = ("purchases=p.shop.purchases", *(("products=p.shop.products",) if flags else ()))
    result = commands.submit("--parameters", *needed, *flags)
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err
    assert not commands.server.requests


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs: many\n", "a whole number"),
        ("epochs: 2.0\n", "a whole number"),
        ("learning_rate: fast\n", "a number"),
        ("learning_rate: .inf\n", "the number inf, which is not finite"),
        ("split: 2026-01-01\n", "text"),
        ("unheard: 1\n", "unheard"),
        ("- epochs\n", "a mapping"),
        ("l1: 1024-64-32\n", "does not parse"),
        ("epochs: [\n", "does not parse"),
        ('{"epochs": 3', "does not parse"),
    ],
)
def test_a_bad_parameters_file_is_refused(commands: Commands, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text(text)
    result = commands.submit(*PARAMETERS, "--parameters-file", str(file))
    assert result.code == 2
    assert said in result.err
    assert str(file) in result.err
    assert not commands.server.requests


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--cron", "0 3 * *"), "4 fields"),
        (("--cron", "60 3 * * *"), "0 to 59"),
        (("--cron", "0 3 31 2 *"), "never fires"),
        (("--cron", "0 5-3 * * *"), "0 to 23"),
        (("--cron", "0 3 * * */0"), "day of week"),
        (("--cron", "0 3 ? * MON"), "day of month"),
        (("--cron", "TZ=UTC 0 3 * * *"), "--time-zone"),
        (("--cron", "0 3 * * *", "--time-zone", "Berlin"), "Europe/Berlin"),
        (("--cron", "0 3 * * *", "--max-concurrent-runs", "0"), "1 or more"),
        (("--cron", "0 3 * * *", "--end", "2020-01-01"), "--end"),
        (("--cron", "0 3 * * *", "--start", "soon"), "--start"),
    ],
)
def test_a_bad_schedule_is_refused(commands: Commands, flags: tuple[str, ...], said: str) -> None:
    spec = ("--spec", str(commands.folder / "pipeline.json"), "--pipeline-root", "gs://bucket/runs", *PARAMETERS)
    result = commands("schedule", *spec, "--no-preflight", "--no-estimate", *flags)
    assert result.code == 2
    assert said in result.err
    assert not commands.server.requests


def test_an_unknown_component_and_command(commands: Commands) -> None:
    result = commands("rerun", "baker")
    assert result.code == 2
    assert "data-extractor, vocab-builder, trainer, evaluator, exporter" in result.err
    assert commands("frobnicate").code == 2


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        ("UNAUTHENTICATED", "", "gcloud auth application-default login"),
        ("PERMISSION_DENIED", "Vertex AI API has not been used in project", "gcloud services enable aiplatform"),
        ("PERMISSION_DENIED", "missing aiplatform.pipelineJobs.create", "roles/aiplatform.user"),
        ("RESOURCE_EXHAUSTED", "quota", "Quotas"),
        ("UNAVAILABLE", "later", "list shows whether"),
        ("INVALID_ARGUMENT", "no such field", "no such field"),
    ],
)
def test_what_the_service_refuses_is_a_sentence(commands: Commands, status: str, message: str, said: str) -> None:
    with commands.server.refusing("POST", "pipelineJobs", status, message):
        result = commands.submit(*PARAMETERS)
    assert result.code == 2
    assert said in result.err
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not commands.server.resources


def test_expired_credentials_are_a_sentence() -> None:
    where = Where(project="my-project", region="europe-west3")
    with pytest.raises(ValueError, match="gcloud auth application-default login"), sentences(where, "submitting"):
        raise exceptions.RefreshError("invalid_grant: Bad Request", {"error": "invalid_grant"})


def test_no_credentials_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def default(**_: object) -> None:
        raise exceptions.DefaultCredentialsError("none found")

    monkeypatch.setattr("google.auth.default", default)
    monkeypatch.delenv("VERTEX_ENDPOINT", raising=False)
    with pytest.raises(ValueError, match="gcloud auth application-default login"):
        _ = Where(project="my-project", region="europe-west3").credentials


def test_anonymous_on_this_machine_only() -> None:
    local = Where(project="my-project", region="europe-west3", endpoint="http://localhost:1")
    assert isinstance(local.credentials, credentials.AnonymousCredentials)
    assert not Where(project="my-project", region="europe-west3", endpoint="https://localhost.example.com").is_local
