"""From a checked PipelineJob to a run: estimate, checks, submission, and following it to its end."""

import json
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TextIO

from rich.console import Console

from components.common.errors import InputError, expect_at_least
from components.common.google import SECONDS, Where, sentences
from pipelines import cost, experiment, preflight, runs, watch
from pipelines import job as jobs
from pipelines.demand import machines_of
from pipelines.watch import After


def terminal(file: TextIO | None = None) -> Console:
    """Where the commands print: what comes from elsewhere is no markup, and logs are wider than 80 columns."""
    file = file or sys.stdout
    return Console(file=file, markup=False, highlight=False, width=None if file.isatty() else 160)


@dataclass(frozen=True, kw_only=True)
class Before:
    """What happens before anything is sent.

    Args:
        preflight: Look for bucket, APIs, images, account and quota first.
        estimate: Print what it will cost at list prices (pipelines/prices.yaml).
        rows: Purchases in the log, from which the estimate takes hours and bytes.
        hours: STEP=HOURS for the estimate, for example trainer=1.5.
        hours_from: An earlier run, by its id, whose steps' hours the estimate takes.
        max_cost: Refuse to submit when the estimate is above so many dollars; 0 sets no limit.
        dry_run: Print what would be sent, as REST's JSON, and the estimate to stderr; send and look for nothing.
    """

    preflight: bool = True
    estimate: bool = True
    rows: int = 0
    hours: tuple[str, ...] = ()
    hours_from: str = ""
    max_cost: float = 0.0
    dry_run: bool = False


class Plan(NamedTuple):
    """What is to be sent, and what it takes.

    Attributes:
        document: As REST writes it.
        steps: Whose hours may be given.
        bill: What it costs, for hours by step.
        needs: What must be there.
    """

    document: dict[str, Any]
    steps: Collection[str]
    bill: Callable[[dict[str, float]], cost.Estimate]
    needs: preflight.Needs


def plan(where: Where, job: dict[str, Any], before: Before, document: dict[str, Any] | None = None) -> Plan:
    """Of a PipelineJob; `document` is what is sent in its place, such as a schedule of it."""
    bill = partial(cost.estimate, job, rows=before.rows, region=where.location)
    return Plan(document or job, machines_of(job["pipelineSpec"]), bill, preflight.needs_of(job))


def is_ready(where: Where, planned: Plan, before: Before, console: Console) -> bool:
    """Estimates and checks; False for a dry run, which prints what would be sent, the estimate to stderr.

    Raises:
        InputError: it would cost too much, or something that the run needs is missing.
    """
    _ = where.parent, where.address  # the mistakes that need no network first
    expect_at_least("--max-cost", before.max_cost, 0)
    if before.estimate or before.max_cost:
        earlier = _earlier_hours(where, before.hours_from)
        known = {step: spent for step, spent in earlier.items() if step in planned.steps}
        found = planned.bill({**known, **_hours(before.hours)})
        cost.show(found, terminal(sys.stderr) if before.dry_run else console)
        cost.expect_below(found, before.max_cost)
    if before.dry_run:
        print(json.dumps(planned.document, indent=1, ensure_ascii=False))
        return False
    if before.preflight:
        preflight.expect_all(preflight.preflight(where, planned.needs), console)
    return True


def submit(where: Where, job: dict[str, Any], before: Before, after: After, group: str) -> None:
    """Creates a run, once everything about it has been checked.

    Args:
        where: Whose Vertex AI.
        job: The PipelineJob.
        before: Checks and estimate.
        after: Whether to follow it.
        group: Vertex AI experiment that it belongs to; "" for none.
    """
    from google.cloud.aiplatform_v1 import PipelineJob, PipelineServiceClient

    after.check()
    if group:
        experiment.expect_name(group)
    console = terminal()
    if not is_ready(where, plan(where, job, before), before, console):
        return
    # Not by aiplatform.PipelineJob.submit: it would create a bucket whose name is mistyped, and hide errors in a log.
    with sentences(where, "submitting the run"):
        made = where.client(PipelineServiceClient).create_pipeline_job(
            parent=where.parent,
            pipeline_job=message(PipelineJob, job),
            pipeline_job_id=runs.job_id(job),
            timeout=SECONDS,
        )
    identifier = made.name.rpartition("/")[2]
    console.print(f"submitted {identifier}")
    console.print(where.console(f"locations/{where.location}/pipelines/runs/{identifier}"), soft_wrap=True)
    if group:
        try:
            experiment.join(where, group, partial(get_run, where, made.name), after.poll)
        except InputError as error:  # the run goes on, and is paid for
            console.print(f"The run is not in the experiment {group}: {error}", markup=False, soft_wrap=True)
    if after.wait:
        follow(where, made.name, after, console)


def follow(where: Where, name: str, after: After, console: Console) -> None:
    """Follows a run to its end and exits with 0, or with 1 when it failed or was cancelled."""
    after.check()
    again = f"python -m pipelines.vertex wait {name.rpartition('/')[2]}"
    job = watch.follow(where, partial(get_run, where, name), again, after, console)
    raise SystemExit(watch.verdict(job, console))


def create_custom_job(where: Where, job: dict[str, Any], after: After, console: Console) -> None:
    """Creates a custom job and, if it is asked for, follows it to its end and exits as `follow` does."""
    from google.cloud.aiplatform_v1 import CustomJob, JobServiceClient

    client = where.client(JobServiceClient)
    with sentences(where, "creating the custom job"):
        made = client.create_custom_job(parent=where.parent, custom_job=message(CustomJob, job), timeout=SECONDS)
    identifier = made.name.rpartition("/")[2]
    console.print(f"created custom job {identifier}")
    console.print(where.console(f"locations/{where.location}/training/{identifier}"), soft_wrap=True)
    if after.wait:
        again = f"gcloud ai custom-jobs stream-logs {identifier} --region={where.location}"
        get = partial(client.get_custom_job, name=made.name, timeout=SECONDS)
        raise SystemExit(watch.verdict(watch.follow(where, get, again, after, console), console))


def get_run(where: Where, name: str) -> Any:
    """A run by its full name."""
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    return where.client(PipelineServiceClient).get_pipeline_job(name=name, timeout=SECONDS)


def message(kind: Any, document: dict[str, Any]) -> Any:
    """The SDK's message of a REST body; a field that the API does not have is an error here and not there."""
    from google.protobuf import json_format

    return kind.wrap(json_format.ParseDict(document, kind.pb()()))


def _earlier_hours(where: Where, run: str) -> dict[str, float]:
    if not run:
        return {}
    with sentences(where, f"looking for {run}"):
        job = get_run(where, where.name("pipelineJobs", run))
    watch.expect_over(job)
    return watch.hours(job)


def _hours(pairs: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for step, text in jobs.pairs_of("--hours", pairs).items():
        try:
            found[step] = float(text)
        except ValueError as error:
            raise InputError("--hours", f"{step}={text}", "a number of hours", "Correct it.") from error
        expect_at_least("--hours", found[step], 0)
    return found
