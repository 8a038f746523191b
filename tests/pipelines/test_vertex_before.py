"""Estimate, limits, checks and dry runs: what happens before anything is sent."""

import json
import re

import pytest

from pipelines import registries
from tests.pipelines.vertex_cli import PARAMETERS, Commands, Result, run_id

PARENT = "projects/my-project/locations/europe-west3"
ACCOUNT = "recs@my-project.iam.gserviceaccount.com"
NETWORK = "projects/1234/global/networks/shop"


def _with_checks(commands: Commands, root: str, *flags: str) -> Result:
    spec = ("--spec", str(commands.folder / "pipeline.json"), "--pipeline-root", root, *PARAMETERS)
    return commands("submit", *spec, *flags)


def test_a_missing_bucket_stops_the_submission_and_is_not_created(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registries, "image", lambda *_: iter(()))  # their registry is out of reach here
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
    run = run_id(commands.submit(*PARAMETERS).out)
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
    assert re.search(r"trainer\W+e2-standard-8\W+2\.50\W+1\.02", result.out)  # (2.5 h + 4 min) x 0.3083 $ x 1.29
    assert re.search(r"exporter\W+e2-standard-4\W+0\.25\W+0\.06", result.out)


def test_dry_run_prints_the_body_and_sends_nothing(commands: Commands) -> None:
    flags = ("--no-preflight", "--rows", "1000000", "--dry-run")
    result = _with_checks(commands, "gs://bucket/runs", *flags)
    assert result.code == 0
    assert "Estimate at list prices" in result.err
    assert _with_checks(commands, "gs://bucket/runs", *flags, "--max-cost", "0.1").code == 2
    assert json.loads(result.out)["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/runs"
    assert not commands.server.requests
