"""The commands against Vertex AI on this machine: what the server received, what the user is told, the exit code."""

import datetime as dt
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from google.auth import credentials, exceptions

from pipelines import preflight, watch
from pipelines.google import Where, sentences
from tests.pipelines.vertex_cli import PARAMETERS, REGISTRY, Commands, compiled
from tests.servers import vertex as servers
from tests.servers.vertex import VertexServer

PARENT = "projects/my-project/locations/europe-west3"
ACCOUNT = "recs@my-project.iam.gserviceaccount.com"
NETWORK = "projects/1234/global/networks/shop"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "cloud" / "bucket").mkdir(parents=True)
    with VertexServer(tmp_path / "cloud") as server:
        yield Commands(server, folder, capsys)


def _run_id(out: str) -> str:
    found = re.search(r"submitted (\S+)", out)
    assert found
    return found[1]


def test_submit_sends_everything_that_was_asked_for(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text("purchases: my-project.shop.purchases\nlearning_rate: 1e-2\nepochs: 3\nks: [5, 10]\n")
    result = commands.submit(
        *("--parameters-file", str(file), "--parameters", "products=my-project.shop.products", "epochs=7"),
        *("--service-account", ACCOUNT, "--network", NETWORK, "--labels", "team=recs", "env=проба"),
        *("--failure-policy", "fast"),
    )
    assert result.code == 0, result.err
    (job,) = commands.created
    assert job["serviceAccount"] == ACCOUNT
    assert job["network"] == NETWORK
    assert job["labels"] == {"team": "recs", "env": "проба"}
    runtime = job["runtimeConfig"]
    assert runtime["gcsOutputDirectory"] == "gs://bucket/runs"
    assert runtime["failurePolicy"] in ("PIPELINE_FAILURE_POLICY_FAIL_FAST", 2)
    values = runtime["parameterValues"]
    assert values.pop("feature_config") == Path("feature_config.yaml").read_text()
    expected = {"purchases": "my-project.shop.purchases", "products": "my-project.shop.products"}
    assert values == {**expected, "epochs": 7, "learning_rate": 0.01, "ks": [5, 10]}
    run = _run_id(result.out)
    assert f"{PARENT}/pipelineJobs/{run}" in commands.server.resources
    console = "https://console.cloud.google.com/vertex-ai/locations/europe-west3/pipelines/runs"
    assert f"{console}/{run}?project=my-project" in result.out
    assert job["pipelineSpec"] == json.loads((commands.folder / "pipeline.json").read_text())


def test_no_caching_reruns_every_step(commands: Commands) -> None:
    assert commands.submit(*PARAMETERS, "--no-caching").code == 0
    (job,) = commands.created
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    assert len(tasks) == 5
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks.values())


def test_wait_follows_to_success_and_prints_metrics_and_report(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = {"schemaTitle": "system.Metrics", "metadata": {"recall_100": 0.4779, "promote": 1}, "uri": "gs://b/m"}
    report = {"schemaTitle": "system.HTML", "uri": "gs://bucket/runs/evaluator/report"}
    commands.server.ends = ""
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        (name,) = (n for n in commands.server.resources if "pipelineJobs" in n)
        commands.server.finish(name)
        for task in commands.server.resources[name]["jobDetail"]["taskDetails"]:
            if task["taskName"] == "evaluator":
                task["outputs"] = {"metrics": {"artifacts": [metrics]}, "report": {"artifacts": [report]}}

    monkeypatch.setattr(watch.time, "sleep", nap)
    result = commands.submit(*PARAMETERS, "--wait", "--poll", "3")
    assert result.code == 0, result.err
    assert naps == [3]
    assert "the run: running" in result.out
    assert "evaluator: succeeded" in result.out
    assert re.search(r"evaluator\W+recall_100\W+0\.4779", result.out)
    assert "https://storage.cloud.google.com/bucket/runs/evaluator/report" in result.out


def test_a_failed_step_is_named_with_its_error(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.server.ends = ""

    def nap(_: float) -> None:
        (name,) = (n for n in commands.server.resources if "pipelineJobs" in n)
        commands.server.finish(name, "FAILED", failed="trainer", message="exit status 2: [no] such vocabulary")

    monkeypatch.setattr(watch.time, "sleep", nap)
    result = commands.submit(*PARAMETERS, "--wait")
    assert result.code == 1
    assert "trainer: failed" in result.out
    assert re.search(r"trainer: .*exit status 2: \[no\] such vocabulary", result.out)


def test_a_run_cancelled_from_elsewhere_ends_the_waiting(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.server.ends = ""
    assert commands.submit(*PARAMETERS).code == 0
    run = next(n for n in commands.server.resources if "pipelineJobs" in n).rpartition("/")[2]
    assert "asked to cancel" in commands("cancel", run).out
    assert ("POST", f"/v1/{PARENT}/pipelineJobs/{run}:cancel") in [(m, p) for m, p, _ in commands.server.requests]

    def nap(_: float) -> None:
        commands.server.finish(f"{PARENT}/pipelineJobs/{run}", "CANCELLED")

    monkeypatch.setattr(watch.time, "sleep", nap)
    result = commands("wait", run)
    assert result.code == 1
    assert "The run was cancelled" in result.out


def test_waiting_survives_an_outage_but_not_an_expired_login(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commands.submit(*PARAMETERS).code == 0
    name = next(n for n in commands.server.resources if "pipelineJobs" in n)
    run, naps = name.rpartition("/")[2], []
    monkeypatch.setattr(watch.time, "sleep", naps.append)
    job = {"state": "PIPELINE_STATE_SUCCEEDED"}
    commands.server.resources[name].update(job)
    with commands.server.refusing("GET", "pipelineJobs", "UNAVAILABLE", "maintenance"):
        monkeypatch.setattr(watch, "PATIENCE", -1)
        result = commands("wait", run)
    assert result.code == 2
    assert "maintenance" in result.err
    with commands.server.refusing("GET", "pipelineJobs", "UNAUTHENTICATED", "token expired"):
        result = commands("wait", run)
    assert result.code == 2
    assert "gcloud auth application-default login" in result.err
    assert not naps
    answers = iter([ConnectionError("reset"), TimeoutError("slow")])

    def get():
        if error := next(answers, None):
            raise error
        from google.cloud.aiplatform_v1 import PipelineJob

        return PipelineJob(state="PIPELINE_STATE_SUCCEEDED")

    monkeypatch.setattr(watch, "PATIENCE", 600)
    console = watch.Console(quiet=True)
    where = Where(project="p", region="europe-west3", endpoint=commands.server.url)
    assert watch.state_of(watch.follow(where, get, "again", 5, console)) == "SUCCEEDED"
    assert naps == [5, 5]


def test_schedule_keeps_account_network_labels_and_time_zone(commands: Commands) -> None:
    result = commands(
        "schedule",
        *("--spec", str(commands.folder / "pipeline.json"), "--pipeline-root", "gs://bucket/runs", *PARAMETERS),
        *("--cron", "0 3 * * 1", "--time-zone", "Europe/Berlin", "--max-concurrent-runs", "2", "--no-preflight"),
        *("--service-account", ACCOUNT, "--network", NETWORK, "--labels", "team=recs", "--name", "weekly"),
        *("--start", "2099-01-05", "--end", "2099-07-01T12:00", "--no-estimate"),
    )
    assert result.code == 0, result.err
    (schedule,) = commands.created
    assert schedule["cron"] == "TZ=Europe/Berlin 0 3 * * 1"
    assert schedule["displayName"] == "weekly"
    assert int(schedule["maxConcurrentRunCount"]) == 2
    # Berlin is an hour ahead of UTC in winter and two in summer.
    assert dt.datetime.fromisoformat(schedule["startTime"]) == dt.datetime(2099, 1, 4, 23, tzinfo=dt.UTC)
    assert dt.datetime.fromisoformat(schedule["endTime"]) == dt.datetime(2099, 7, 1, 10, tzinfo=dt.UTC)
    job = schedule["createPipelineJobRequest"]["pipelineJob"]
    assert (job["serviceAccount"], job["network"], job["labels"]) == (ACCOUNT, NETWORK, {"team": "recs"})
    name = next(n for n in commands.server.resources if "/schedules/" in n)
    fired = commands.server.fire(name)
    assert fired
    assert fired["serviceAccount"] == ACCOUNT


def test_pause_resume_and_list(commands: Commands) -> None:
    spec = ("--spec", str(commands.folder / "pipeline.json"), "--pipeline-root", "gs://bucket/runs", *PARAMETERS)
    assert commands("schedule", *spec, "--cron", "*/5 * * * *", "--no-preflight", "--no-estimate").code == 0
    assert commands.submit(*PARAMETERS, "--labels", "team=recs").code == 0
    run = _run_id(commands.submit(*PARAMETERS).out)
    name = next(n for n in commands.server.resources if "/schedules/" in n)
    identifier = name.rpartition("/")[2]
    assert commands("pause", identifier).code == 0
    assert commands.server.resources[name]["state"] == "PAUSED"
    listed = commands("list").out
    assert re.search(rf"{identifier}\W+metro-recs-training\W+paused", listed)
    assert run in listed
    assert "team=recs" in listed
    assert run not in commands("list", "--limit", "0").out
    assert commands("resume", name, "--catch-up").code == 0
    assert commands.server.resources[name]["state"] == "ACTIVE"
    (body,) = (body for _, path, body in commands.server.requests if path.endswith(":resume"))
    assert body["catchUp"] is True
    missing = commands("pause", "999")
    assert missing.code == 2
    assert "projects/my-project/locations/europe-west3/schedules/999" in missing.err


def test_rerun_imports_the_artifacts_it_is_given(commands: Commands) -> None:
    result = commands(
        *("rerun", "evaluator", "--folder", str(commands.folder / "reruns"), "--pipeline-root", "gs://bucket/reruns"),
        *("--input", "model=gs://bucket/1/model", "examples=gs://bucket/2/examples", "vocabularies=gs://bucket/1/v"),
        *("--parameters", "must_beat=none", "--no-preflight", "--no-estimate"),
    )
    assert result.code == 0, result.err
    (job,) = commands.created
    expected = {
        "model": "gs://bucket/1/model",
        "examples": "gs://bucket/2/examples",
        "vocabularies": "gs://bucket/1/v",
        "must_beat": "none",
    }
    assert job["runtimeConfig"]["parameterValues"] == expected
    assert job["displayName"] == "metro-recs-rerun-evaluator"


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
        (("epoch=5",), "epoch=5"),
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
        ("learning_rate: .inf\n", "a number"),
        ("split: 2026-01-01\n", "text"),
        ("unheard: 1\n", "unheard"),
        ("- epochs\n", "a mapping"),
        ("epochs: [\n", "does not parse"),
        ('{"epochs": 3,}', "does not parse"),
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
    where = Where(project="p", region="europe-west3")
    with pytest.raises(ValueError, match="gcloud auth application-default login"), sentences(where, "submitting"):
        raise exceptions.RefreshError("invalid_grant: Bad Request", {"error": "invalid_grant"})


def test_no_credentials_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def default(**_: object):
        raise exceptions.DefaultCredentialsError("none found")

    monkeypatch.setattr("google.auth.default", default)
    monkeypatch.delenv("VERTEX_ENDPOINT", raising=False)
    with pytest.raises(ValueError, match="gcloud auth application-default login"):
        _ = Where(project="p", region="europe-west3").credentials


def test_anonymous_on_this_machine_only() -> None:
    local = Where(project="p", region="europe-west3", endpoint="http://localhost:1")
    assert isinstance(local.credentials, credentials.AnonymousCredentials)
    assert not Where(project="p", region="europe-west3", endpoint="https://localhost.example.com").is_local


def test_experiment_gets_the_run(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts, children = {}, []
    run_context = f"{PARENT}/metadataStores/default/contexts/run"

    def create(state, call):
        contexts[call.query["contextId"]] = call.body
        return {**call.body, "name": f"{call.name}/{call.query['contextId']}"}

    def get(state, call):
        identifier = call.name.rpartition("/")[2]
        if identifier not in contexts:
            raise servers.RefusedError("no such context", "NOT_FOUND")
        return {**contexts[identifier], "name": call.name}

    def add(state, call):
        children.append((call.name, call.body["childContexts"]))
        return {}

    made = servers.ROUTES["POST", "pipelineJobs", ""]

    def create_job(state, call):
        job = made(state, call)
        state.resources[job["name"]].setdefault("jobDetail", {})["pipelineRunContext"] = {"name": run_context}
        return job

    kind = "metadataStores/*/contexts"
    monkeypatch.setitem(servers.ROUTES, ("POST", kind, ""), create)
    monkeypatch.setitem(servers.ROUTES, ("GET", f"{kind}/*", ""), get)
    monkeypatch.setitem(servers.ROUTES, ("POST", f"{kind}/*", "addContextChildren"), add)
    monkeypatch.setitem(servers.ROUTES, ("POST", "pipelineJobs", ""), create_job)
    assert commands.submit(*PARAMETERS, "--experiment", "autumn").code == 0
    assert commands.submit(*PARAMETERS, "--experiment", "autumn").code == 0
    assert contexts["autumn"]["schemaTitle"] == "system.Experiment"
    assert children == [(f"{PARENT}/metadataStores/default/contexts/autumn", [run_context])] * 2
    contexts["autumn"]["schemaTitle"] = "system.Pipeline"
    refused = commands.submit(*PARAMETERS, "--experiment", "autumn")
    assert refused.code == 2
    assert len(commands.created) == 2
    assert commands.submit(*PARAMETERS, "--experiment", "Autumn!").code == 2


def _with_checks(commands: Commands, root: str, *flags: str):
    spec = ("--spec", str(commands.folder / "pipeline.json"), "--pipeline-root", root, *PARAMETERS)
    return commands("submit", *spec, *flags)


def test_a_missing_bucket_stops_the_submission_and_is_not_created(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_image", lambda *_: iter(()))  # their registry is out of reach here
    result = _with_checks(commands, "gs://mistyped/runs", "--no-estimate")
    assert result.code == 2
    assert "gcloud storage buckets create gs://mistyped --location=europe-west3" in result.out
    assert "gs://mistyped does not exist" in result.err
    assert not commands.created
    assert _with_checks(commands, "gs://bucket/runs", "--no-estimate").code == 0
    # Not even unchecked: the SDK's own submit would create it.
    assert _with_checks(commands, "gs://mistyped/runs", "--no-estimate", "--no-preflight").code == 0
    assert [file.name for file in commands.server.state.folder.iterdir()] == ["bucket"]


def test_max_cost_stops_the_submission(commands: Commands) -> None:
    flags = ("--no-preflight", "--rows", "1000000", "--max-cost")
    result = _with_checks(commands, "gs://bucket/runs", *flags, "0.10")
    assert result.code == 2
    assert re.search(r"an estimate of \d+\.\d\d \$", result.err)
    assert not commands.server.requests
    result = _with_checks(commands, "gs://bucket/runs", "--no-preflight", "--max-cost", "100")
    assert result.code == 2
    assert "Give --rows" in result.err
    assert not commands.server.requests
    assert _with_checks(commands, "gs://bucket/runs", *flags, "100").code == 0
    assert len(commands.created) == 1


def test_the_estimate_takes_the_hours_of_an_earlier_run(commands: Commands) -> None:
    commands.server.ends = ""
    run = _run_id(commands.submit(*PARAMETERS).out)
    unfinished = _with_checks(commands, "gs://bucket/runs", "--hours-from", run)
    assert unfinished.code == 2
    assert "a run that has ended" in unfinished.err
    name = f"{PARENT}/pipelineJobs/{run}"
    commands.server.finish(name)
    for task in commands.server.resources[name]["jobDetail"]["taskDetails"]:
        task.update(startTime="2026-11-24T01:00:00Z", endTime="2026-11-24T03:30:00Z")
    flags = ("--hours-from", run, "--hours", "exporter=0.25", "--no-preflight")
    result = _with_checks(commands, "gs://bucket/runs", *flags)
    assert result.code == 0, result.err
    assert re.search(r"trainer\W+e2-standard-8\W+2\.50\W+0\.79", result.out)  # (2.5 h + 4 min) x 0.3083 $
    assert re.search(r"exporter\W+e2-standard-4\W+0\.25\W+0\.05", result.out)


def test_dry_run_prints_the_body_and_sends_nothing(commands: Commands) -> None:
    result = commands.submit(*PARAMETERS, "--dry-run")
    assert result.code == 0
    assert json.loads(result.out)["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/runs"
    assert not commands.server.requests


def _custom_job(commands: Commands, file: Path, *flags: str):
    return commands(
        *("custom-job", "--image", f"{REGISTRY}/metro-recs/trainer:v1", "--tfrecords-path", "gs://bucket/examples"),
        *("--vocabularies-path", "gs://bucket/v.json", "--output-path", "gs://bucket/model", "--output", str(file)),
        *("--spec", str(commands.folder / "reruns" / "trainer.json"), *flags),
    )


def test_custom_job_is_a_cluster_with_a_chief(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    result = _custom_job(
        *(commands, file, "--parameters", "epochs=7", "jit_compile=true", "--machine-type", "a2-highgpu-2g"),
        *("--replicas", "4", "--strategy", "spot", "--service-account", ACCOUNT, "--labels", "team=recs", "--submit"),
    )
    assert result.code == 0, result.err
    document = yaml.safe_load(file.read_text())
    chief, workers = document["workerPoolSpecs"]
    assert (chief["replicaCount"], workers["replicaCount"]) == (1, 3)
    machine = {"machineType": "a2-highgpu-2g", "acceleratorType": "NVIDIA_TESLA_A100", "acceleratorCount": 2}
    assert chief["machineSpec"] == workers["machineSpec"] == machine
    assert document["scheduling"] == {"strategy": "SPOT"}
    assert document["serviceAccount"] == ACCOUNT
    flags = chief["containerSpec"]["args"]
    assert flags[flags.index("--metadata-path") + 1] == "gs://bucket/examples/metadata.json"
    assert flags[flags.index("--epochs") + 1] == "7"
    assert "--jit-compile" in flags
    (job,) = commands.created
    assert job["labels"] == {"team": "recs"}
    pools = job["jobSpec"]["workerPoolSpecs"]
    assert [int(pool["replicaCount"]) for pool in pools] == [1, 3]
    assert pools[0]["containerSpec"]["args"] == flags
    assert "gcloud ai custom-jobs create --config=" in result.out


def test_the_trainer_understands_the_custom_jobs_flags(commands: Commands, tmp_path: Path) -> None:
    import tyro

    from trainer_image.options import Options

    file = tmp_path / "job.yaml"
    assert _custom_job(commands, file, "--parameters", "epochs=7", "learning_rate=1e-4", "jit_compile=false").code == 0
    flags = yaml.safe_load(file.read_text())["workerPoolSpecs"][0]["containerSpec"]["args"]
    options = tyro.cli(Options, args=flags)
    assert (options.epochs, options.learning_rate, options.jit_compile) == (7, 1e-4, False)
    assert options.feature_config == Path("feature_config.yaml").read_text()
    assert options.output_path == "gs://bucket/model"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--image", "trainer:v1"), "registry"),
        (("--tfrecords-path", "examples"), "gs://BUCKET/PATH"),
        (("--machine-type", "a2-highgpu-3g"), "a2-highgpu-3g"),
        (("--accelerator", "NVIDIA_A1000"), "NVIDIA_A1000"),
        (("--parameters", "epoch=3"), "epoch=3"),
        (("--labels", "A=b"), "A=b"),
    ],
)
def test_a_bad_custom_job_writes_nothing(commands: Commands, tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    file = tmp_path / "job.yaml"
    result = _custom_job(commands, file, "--submit", *flags)
    assert result.code == 2
    assert said in result.err
    assert not file.exists()
    assert not commands.server.requests


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gcloud"), reason="needs gcloud")
def test_gcloud_takes_the_custom_jobs_file(commands: Commands, tmp_path: Path) -> None:
    file, token = tmp_path / "job.yaml", tmp_path / "token"
    token.write_text("not-a-token")
    cluster = ("--machine-type", "a2-highgpu-2g", "--replicas", "3", "--strategy", "spot")
    assert _custom_job(commands, file, *cluster, "--service-account", ACCOUNT).code == 0
    environment = {
        **os.environ,
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": f"{commands.server.url}/",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    }
    command = ["gcloud", "ai", "custom-jobs", "create", f"--config={file}", "--region=europe-west3"]
    more = ["--project=my-project", "--display-name=by-gcloud", "--labels=team=recs"]
    done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (job,) = commands.created
    assert [int(pool["replicaCount"]) for pool in job["jobSpec"]["workerPoolSpecs"]] == [1, 2]
    assert job["jobSpec"]["scheduling"] == {"strategy": "SPOT"}
    assert job["jobSpec"]["serviceAccount"] == ACCOUNT
    assert job["labels"] == {"team": "recs"}
