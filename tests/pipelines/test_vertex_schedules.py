"""Schedules: what the server received, and what it fires."""

import datetime as dt
import re

from tests.pipelines.vertex_cli import PARAMETERS, Commands, run_id

PARENT = "projects/my-project/locations/europe-west3"
ACCOUNT = "recs@my-project.iam.gserviceaccount.com"
NETWORK = "projects/1234/global/networks/shop"


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
    run = run_id(commands.submit(*PARAMETERS).out)
    name = next(n for n in commands.server.resources if "/schedules/" in n)
    identifier = name.rpartition("/")[2]
    assert commands("pause", identifier).code == 0
    assert commands.server.resources[name]["state"] == "PAUSED"
    listed = commands("list").out
    assert re.search(rf"{identifier}\W+metro-recs-training\W+paused", listed)
    assert run in listed
    assert "team=recs" in listed
    assert run not in commands("list", "--limit", "0").out
    assert commands("list", "--limit", "-3").code == 2
    assert commands("resume", name, "--catch-up").code == 0
    assert commands.server.resources[name]["state"] == "ACTIVE"
    (body,) = (body for _, path, body in commands.server.requests if path.endswith(":resume"))
    assert body["catchUp"] is True
    missing = commands("pause", "999")
    assert missing.code == 2
    assert "projects/my-project/locations/europe-west3/schedules/999" in missing.err
