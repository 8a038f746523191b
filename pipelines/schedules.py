"""Schedules: the pipeline again and again, at the times of a cron expression."""

from typing import Annotated

import tyro

from components.common.google import SECONDS, Where, sentences
from pipelines import cron, parameters, runs, submission
from pipelines.runs import Run
from pipelines.submission import Before

Id = tyro.conf.Positional[str]


def schedule(
    where: Where,
    run: Run,
    before: Before,
    *,
    cron_: Annotated[str, tyro.conf.arg(name="cron")],
    time_zone: str = "UTC",
    spec: str = "pipeline.json",
    name: str = "",
    max_concurrent_runs: int = 1,
    start: str = "",
    end: str = "",
) -> None:
    """Runs the pipeline again and again.

    Args:
        where: Whose Vertex AI.
        run: How every run runs.
        before: Checks, and the estimate of one run.
        cron_: minute hour day-of-month month day-of-week, for example "0 3 * * 1".
        time_zone: IANA name of the time zone of cron, start and end.
        spec: The compiled pipeline; the schedule keeps it as it is now.
        name: The schedule's; by default the pipeline's.
        max_concurrent_runs: A run that would be one too many is left out.
        start: The first run is not before, for example 2026-12-01.
        end: No run begins after.
    """
    from google.cloud.aiplatform_v1 import Schedule, ScheduleServiceClient

    job = runs.body(parameters.read_spec(spec), run)
    document = runs.schedule(
        where.parent,
        job,
        name=name,
        cron=cron.expression(cron_, time_zone),
        max_concurrent_runs=max_concurrent_runs,
        start=cron.moment("--start", start, time_zone),
        end=cron.moment("--end", end, time_zone),
    )
    console = submission.terminal()
    if not submission.is_ready(where, submission.plan(where, job, before, document), before, console):
        return
    with sentences(where, "creating the schedule"):
        made = where.client(ScheduleServiceClient).create_schedule(
            parent=where.parent, schedule=submission.message(Schedule, document), timeout=SECONDS
        )
    identifier = made.name.rpartition("/")[2]
    console.print(f"created schedule {identifier}")
    if made.next_run_time:
        console.print(f"next run {made.next_run_time:%Y-%m-%d %H:%M} UTC")
    console.print(where.console(f"locations/{where.location}/pipelines/schedules/{identifier}"), soft_wrap=True)


def pause(schedule: Id, where: Where) -> None:
    """Stops a schedule until it is resumed; runs that have begun go on.

    Args:
        schedule: Its id, as list shows it.
        where: Whose Vertex AI.
    """
    from google.cloud.aiplatform_v1 import ScheduleServiceClient

    with sentences(where, f"pausing {schedule}"):
        where.client(ScheduleServiceClient).pause_schedule(name=where.name("schedules", schedule), timeout=SECONDS)
    print(f"paused {schedule}; resume it with python -m pipelines.vertex resume {schedule}")


def resume(schedule: Id, where: Where, *, catch_up: bool = False) -> None:
    """Lets a paused schedule go on.

    Args:
        schedule: Its id, as list shows it.
        where: Whose Vertex AI.
        catch_up: Also run what was left out in the meantime.
    """
    from google.cloud.aiplatform_v1 import ScheduleServiceClient

    request = {"name": where.name("schedules", schedule), "catch_up": catch_up}
    with sentences(where, f"resuming {schedule}"):
        where.client(ScheduleServiceClient).resume_schedule(request=request, timeout=SECONDS)
    print(f"resumed {schedule}")
