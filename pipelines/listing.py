"""The schedules and runs of a project and region, as tables."""

from typing import Any

from rich.console import Console
from rich.table import Table

from components.common.google import SECONDS, Where
from pipelines.watch import state_of

FIELDS = ("name", "state", "create_time", "start_time", "end_time", "labels", "schedule_name")


def newest(where: Where, limit: int) -> tuple[list[Any], list[Any]]:
    """(schedules, runs), the newest first, so many of each at most."""
    from google.cloud.aiplatform_v1 import PipelineServiceClient, ScheduleServiceClient

    wanted: dict[str, Any] = {"parent": where.parent, "order_by": "create_time desc", "page_size": limit}
    schedules = where.client(ScheduleServiceClient).list_schedules(request=wanted, timeout=SECONDS)
    # Without the mask, every run comes with its whole specification.
    masked = {**wanted, "read_mask": {"paths": list(FIELDS)}}
    runs = where.client(PipelineServiceClient).list_pipeline_jobs(request=masked, timeout=SECONDS)
    first, second = ([item for _, item in zip(range(limit), pager, strict=False)] for pager in (schedules, runs))
    return first, second


def show(where: Where, schedules: list[Any], runs: list[Any], console: Console) -> None:
    """Prints a table of each; ids are never cut, so that they can be copied."""
    table = Table(title=f"Schedules in {where.parent}")
    for column in ("schedule", "name", "state", "cron", "runs", "next run, UTC"):
        table.add_column(column, no_wrap=column == "schedule", overflow="fold")
    for item in schedules:
        state = state_of(item).lower()
        following = _time(item.next_run_time) if state == "active" else ""
        table.add_row(_id(item.name), item.display_name, state, item.cron, str(item.started_run_count), following)
    console.print(table)
    table = Table(title=f"Runs in {where.parent}")
    for column in ("run", "state", "created, UTC", "hours", "schedule", "labels"):
        table.add_column(column, no_wrap=column == "run", overflow="fold")
    for run in runs:
        over = run.start_time and run.end_time
        spent = f"{(run.end_time - run.start_time).total_seconds() / 3600:.2f}" if over else ""
        labels = " ".join(f"{name}={value}" for name, value in sorted(run.labels.items()))
        table.add_row(
            _id(run.name), state_of(run).lower(), _time(run.create_time), spent, _id(run.schedule_name), labels
        )
    console.print(table)


def _id(name: str) -> str:
    return name.rpartition("/")[2]


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""
