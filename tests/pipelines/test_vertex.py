"""The commands against Vertex AI on this machine: what the server received, what the user is told, the exit code."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.common.google import Where
from pipelines import preflight, watch
from tests.pipelines.vertex_cli import PARAMETERS, Commands, Result

PARENT = "projects/my-project/locations/europe-west3"
ACCOUNT = "recs@my-project.iam.gserviceaccount.com"
NETWORK = "projects/1234/global/networks/shop"


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
    run = name.rpartition("/")[2]
    naps: list[float] = []
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

    def get() -> Any:
        if error := next(answers, None):
            raise error
        from google.cloud.aiplatform_v1 import PipelineJob

        return PipelineJob(state="PIPELINE_STATE_SUCCEEDED")

    monkeypatch.setattr(watch, "PATIENCE", 600)
    console = watch.Console(quiet=True)
    where = Where(project="p", region="europe-west3", endpoint=commands.server.url)
    assert watch.state_of(watch.follow(where, get, "again", 5, console)) == "SUCCEEDED"
    assert naps == [5, 5]


def test_interrupting_the_waiting_leaves_the_run_alone(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    commands.server.ends = ""
    monkeypatch.setattr(watch.time, "sleep", interrupted)
    result = commands.submit(*PARAMETERS, "--wait")
    assert result.code == 130
    assert f"python -m pipelines.vertex wait {_run_id(result.out)}" in result.out
    assert not any(path.endswith(":cancel") for _, path, _ in commands.server.requests)


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


def test_experiment_gets_the_run(commands: Commands) -> None:
    store = f"{PARENT}/metadataStores/default"
    for _ in range(2):  # made by the first, found by the second
        result = commands.submit(*PARAMETERS, "--experiment", "autumn")
        assert result.code == 0, result.err
        run = _run_id(result.out)
        assert commands.server.resources[f"{store}/contexts/{run}"]["parentContexts"] == [f"{store}/contexts/autumn"]
    assert commands.server.resources[f"{store}/contexts/autumn"]["schemaTitle"] == "system.Experiment"
    # The pipeline's own context: the run is submitted, and its submitter told so.
    other = commands.submit(*PARAMETERS, "--experiment", "metro-recs-training")
    assert other.code == 0
    assert "The run is not in the experiment metro-recs-training" in other.out
    assert "a system.Pipeline" in other.out
    assert commands.submit(*PARAMETERS, "--experiment", "Autumn!").code == 2
    assert sum(path.endswith("/pipelineJobs") for method, path, _ in commands.server.requests if method == "POST") == 3


def _with_checks(commands: Commands, root: str, *flags: str) -> Result:
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
