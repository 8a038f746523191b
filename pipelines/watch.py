"""Follows a run until it ends: each step's state as it changes, then its figures and the report's address."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from components.common.errors import InputError, expect_at_least
from components.common.google import Where, sentences

PATIENCE = 600.0  # seconds that Vertex AI may be out of reach before following ends; the run does not mind
LEAST_POLL = 0.1  # seconds
OVER = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED")
LEFT_OUT = ("NOT_TRIGGERED", "STATE_UNSPECIFIED", "")


@dataclass(frozen=True, kw_only=True)
class After:
    """What happens once it runs.

    Args:
        wait: Follow the run step by step until it ends; exit with 1 if it fails or is cancelled.
        poll: Seconds between two looks.
        wait_minutes: Follow it so long at most, then exit with 1 while the run goes on; 0 sets no limit.
    """

    wait: bool = False
    poll: float = 10.0
    wait_minutes: float = 0.0

    def check(self) -> None:
        """Raises InputError for times that are none."""
        expect_at_least("--poll", self.poll, LEAST_POLL)
        expect_at_least("--wait-minutes", self.wait_minutes, 0)


def follow(where: Where, get: Callable[[], Any], again: str, after: After, console: Console) -> Any:
    """Prints the steps' states as they change, until the run is over.

    Args:
        where: Whose Vertex AI.
        get: Asks for the run once.
        again: The command that goes on following.
        after: How often, and how long at most.
        console: To print to.

    Returns:
        The run as it ended.

    Raises:
        InputError: Vertex AI could not be reached for ten minutes, or the credentials have expired. The run goes on.
        SystemExit: somebody pressed Ctrl-C (130), or it took too long (1). The run goes on.
    """
    seen: dict[str, str] = {}
    until = time.monotonic() + 60 * after.wait_minutes
    try:
        while True:
            job = _patient(where, get, again, after.poll)
            for step, state in _states(job):
                if seen.get(step) != state:
                    seen[step] = state
                    console.print(f"{dt.datetime.now():%H:%M:%S} {step}: {state.lower()}")
            if state_of(job) in OVER:
                return job
            if after.wait_minutes and time.monotonic() > until:
                spent = f"{after.wait_minutes:g} minutes"
                console.print(f"Not over after {spent}; the run goes on. Follow it again: {again}", soft_wrap=True)
                raise SystemExit(1)
            time.sleep(after.poll)
    except KeyboardInterrupt:
        console.print(f"No longer followed; the run goes on. Follow it again: {again}")
        raise SystemExit(130) from None


def state_of(resource: Any) -> str:
    """SUCCEEDED, RUNNING and so on, of a run, a step, a job or a schedule."""
    return resource.state.name.removeprefix("PIPELINE_STATE_").removeprefix("JOB_STATE_")


def verdict(job: Any, console: Console) -> int:
    """Prints how a run ended, with its figures or its errors, and returns the exit code."""
    state = state_of(job)
    if state == "SUCCEEDED":
        if hasattr(job, "job_detail"):  # a custom job has no steps
            figures(job, console)
        return 0
    if state == "CANCELLED":
        said = f"The run was cancelled: {job.error.message or 'somebody or something else asked for it'}"
        console.print(said, soft_wrap=True)
        return 1
    console.print(f"The run ended as {state.lower()}: {job.error.message}", soft_wrap=True)
    for step in steps(job) if hasattr(job, "job_detail") else ():
        if state_of(step) == "FAILED":
            reason = step.error.message or "no reason was given; the step's log in the console has it"
            console.print(f"  {step.task_name}: {reason}", soft_wrap=True)
    return 1


def figures(job: Any, console: Console) -> None:
    """Prints the metrics that the steps logged, and where their reports are."""
    table = Table(title="Metrics")
    for column in ("step", "metric", "value"):
        table.add_column(column, justify="right" if column == "value" else "left")
    reports = []
    for step in steps(job):
        for artifact in _artifacts(step):
            if artifact.schema_title == "system.Metrics":
                for name, value in dict(artifact.metadata).items():
                    table.add_row(step.task_name, name, _shown(value))
            elif artifact.schema_title == "system.HTML":
                reports.append((step.task_name, artifact.uri))
    if table.row_count:
        console.print(table)
    for step_name, uri in reports:
        page = f"https://storage.cloud.google.com/{uri.removeprefix('gs://')}" if uri.startswith("gs://") else uri
        console.print(f"Report of {step_name}: {page}", soft_wrap=True)


def steps(job: Any) -> list[Any]:
    """The steps of a run in the order in which they began, without the run itself."""
    everything = list(job.job_detail.task_details)
    details = [step for step in everything if step.parent_task_id] or everything
    return sorted(details, key=lambda step: (step.start_time is None, step.start_time or 0, step.task_id))


def hours(job: Any) -> dict[str, float]:
    """{step: hours from start to end} of those that succeeded: the others, or the cache, say nothing of a whole run."""
    spent = {
        step.task_name: (step.end_time - step.start_time).total_seconds()
        for step in steps(job)
        if step.start_time and step.end_time and state_of(step) == "SUCCEEDED"
    }
    return {name: seconds / 3600 for name, seconds in spent.items()}


def _states(job: Any) -> Iterator[tuple[str, str]]:
    if hasattr(job, "job_detail"):
        yield from ((step.task_name, state_of(step)) for step in steps(job) if state_of(step) not in LEFT_OUT)
    yield "the run", state_of(job)


def _patient(where: Where, get: Callable[[], Any], again: str, seconds: float) -> Any:
    """Asks until there is an answer: the network may be gone for a while."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    until = time.monotonic() + PATIENCE
    with sentences(where, f"following the run, which goes on ({again})"):
        while True:
            try:
                return get()
            except (api.ServerError, api.TooManyRequests, auth.TransportError, OSError):
                if time.monotonic() > until:
                    raise
                time.sleep(seconds)


def _artifacts(step: Any) -> Iterator[Any]:
    for _, artifacts in sorted(step.outputs.items()):
        yield from artifacts.artifacts


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def expect_over(job: Any) -> None:
    """Raises InputError while a run has not ended: its durations are not known yet."""
    if state_of(job) not in OVER:
        raise InputError(job.name, state_of(job).lower(), "a run that has ended", "Wait for it.")
