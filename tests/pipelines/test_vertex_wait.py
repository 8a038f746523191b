"""Following a run to its end: what the user is told, and the exit code."""

import re
from typing import Any

import pytest

from components.common.google import Where
from pipelines import watch
from tests.pipelines.vertex_cli import PARAMETERS, Commands, run_id

PARENT = "projects/my-project/locations/europe-west3"
ACCOUNT = "recs@my-project.iam.gserviceaccount.com"
NETWORK = "projects/1234/global/networks/shop"


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
    where = Where(project="my-project", region="europe-west3", endpoint=commands.server.url)
    assert watch.state_of(watch.follow(where, get, "again", watch.After(wait=True, poll=5), console)) == "SUCCEEDED"
    assert naps == [5, 5]


def test_interrupting_the_waiting_leaves_the_run_alone(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    commands.server.ends = ""
    monkeypatch.setattr(watch.time, "sleep", interrupted)
    result = commands.submit(*PARAMETERS, "--wait")
    assert result.code == 130
    assert f"python -m pipelines.vertex wait {run_id(result.out)}" in result.out
    assert not any(path.endswith(":cancel") for _, path, _ in commands.server.requests)


def test_waiting_can_end_before_the_run_does(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.server.ends = ""
    clock = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    result = commands.submit(*PARAMETERS, "--wait", "--poll", "20", "--wait-minutes", "1")
    assert result.code == 1
    run = run_id(result.out)
    assert (
        f"Not over after 1 minutes; the run goes on. Follow it again: python -m pipelines.vertex wait {run}"
        in result.out
    )
    assert clock[0] == 80
    assert not any(path.endswith(":cancel") for _, path, _ in commands.server.requests)
    assert commands("wait", run, "--wait-minutes", "-1").code == 2
