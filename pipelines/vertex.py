"""The pipeline on Vertex AI: `python -m pipelines.vertex --help`."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml
from rich.console import Console
from rich.table import Table

from components.common import cli
from components.common.errors import InputError
from pipelines import checks, cost, cron, custom_job, experiment, jobs, parameters, preflight, watch
from pipelines.google import SECONDS, Where, sentences
from pipelines.jobs import Run

ROOT = Path(__file__).resolve().parent.parent
ABOUT = """Submits the compiled pipeline to Vertex AI, follows and schedules it, and reruns single components.

A first run:
  python compile.py --registry europe-west3-docker.pkg.dev/my-project/metro-recs
  python -m pipelines.vertex submit --project my-project --region europe-west3 --pipeline-root gs://my-bucket/runs
  --parameters purchases=my-project.shop.purchases products=my-project.shop.products
  feature_config=@feature_config.yaml --wait

COMMAND --help explains a command. Exit codes: 0 done, 1 the run failed or was cancelled, 2 bad input."""


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
        dry_run: Print what would be sent, and send nothing.
    """

    preflight: bool = True
    estimate: bool = True
    rows: int = 0
    hours: tuple[str, ...] = ()
    hours_from: str = ""
    max_cost: float = 0.0
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class After:
    """What happens once it runs.

    Args:
        wait: Follow the run step by step until it ends; exit with 1 if it fails or is cancelled.
        poll: Seconds between two looks.
    """

    wait: bool = False
    poll: float = 10.0


def submit(
    where: Where,
    run: Run,
    before: Before,
    after: After,
    *,
    spec: str = "pipeline.json",
    experiment_: Annotated[str, tyro.conf.arg(name="experiment")] = "",
) -> None:
    """Runs the pipeline once.

    Args:
        where: Whose Vertex AI.
        run: How it runs.
        before: Checks and estimate.
        after: Whether to follow it.
        spec: The compiled pipeline.
        experiment_: Vertex AI experiment that shows the run's parameters and metrics beside others'.
    """
    _submit(where, jobs.body(parameters.read_spec(spec), run), before, after, experiment_)


def rerun(
    component: tyro.conf.Positional[str],
    where: Where,
    run: Run,
    before: Before,
    after: After,
    *,
    inputs: Annotated[tuple[str, ...], tyro.conf.arg(name="input")] = (),
    experiment_: Annotated[str, tyro.conf.arg(name="experiment")] = "",
) -> None:
    """Runs one component on artifacts that are there already.

    Args:
        component: data-extractor, vocab-builder, trainer, evaluator or exporter.
        where: Whose Vertex AI.
        run: How it runs.
        before: Checks and estimate.
        after: Whether to follow it.
        inputs: Its artifacts, for example examples=gs://bucket/run/examples.
        experiment_: Vertex AI experiment that shows the run's parameters and metrics beside others'.
    """
    folder = ROOT / "reruns"
    known = sorted(file.stem for file in folder.glob("*.json"))
    name = component.replace("_", "-")
    if name not in known:
        raise InputError("COMPONENT", component, f"one of {', '.join(known) or 'none yet'}", "Run python compile.py.")
    spec = parameters.read_spec(str(folder / f"{name}.json"))
    artifacts, given = jobs.artifact_inputs(spec), parameters.pairs_of("--input", inputs)
    if set(given) != set(artifacts):
        some = " ".join(f"{artifact}=gs://…" for artifact in artifacts)
        found = ", ".join(sorted(given)) or "nothing"
        raise InputError("--input", found, f"{name}'s artifacts: {', '.join(artifacts)}", f"Give --input {some}")
    for artifact, uri in given.items():
        checks.bucket(f"--input {artifact}", uri)
    _submit(where, jobs.body(spec, run, inputs), before, after, experiment_)


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
        before: Checks and estimate of one run.
        cron_: minute hour day-of-month month day-of-week, for example "0 3 * * 1".
        time_zone: IANA name of the time zone that cron, start and end are in.
        spec: The compiled pipeline; the schedule keeps it as it is now.
        name: The schedule's; by default the pipeline's.
        max_concurrent_runs: A run that would be one too many is left out.
        start: The first run is not before, for example 2026-12-01.
        end: No run begins after.
    """
    from google.cloud.aiplatform_v1 import Schedule, ScheduleServiceClient

    job = jobs.body(parameters.read_spec(spec), run)
    expression = cron.expression(cron_, time_zone)
    times = {
        flag: cron.moment(f"--{flag}", text, time_zone) if text else None
        for flag, text in (("start", start), ("end", end))
    }
    document = jobs.schedule(
        where.parent, job, name=name, cron=expression, max_concurrent_runs=max_concurrent_runs, **times
    )
    console = Console()
    if not _ready(where, job, before, console, document):
        return
    with sentences(where, "creating the schedule"):
        made = where.client(ScheduleServiceClient).create_schedule(
            parent=where.parent, schedule=_message(Schedule, document), timeout=SECONDS
        )
    identifier = made.name.rpartition("/")[2]
    console.print(f"created schedule {identifier}", highlight=False)
    if made.next_run_time:
        console.print(f"next run {made.next_run_time:%Y-%m-%d %H:%M %Z}", highlight=False)
    page = where.console(f"locations/{where.location}/pipelines/schedules/{identifier}")
    console.print(page, highlight=False, soft_wrap=True)


def list_(where: Where, *, limit: int = 20) -> None:
    """Lists schedules and the latest runs.

    Args:
        where: Whose Vertex AI.
        limit: Of each, the newest so many.
    """
    from google.cloud import aiplatform_v1 as v1

    fields = ("name", "display_name", "state", "create_time", "start_time", "end_time", "labels", "schedule_name")
    wanted: dict[str, Any] = {"parent": where.parent, "order_by": "create_time desc", "page_size": limit}
    with sentences(where, "listing"):
        # Without the mask, every run comes with its whole specification.
        mask = {"paths": list(fields)}
        answer = where.client(v1.PipelineServiceClient).list_pipeline_jobs(
            request={**wanted, "read_mask": mask}, timeout=SECONDS
        )
        runs = [run for run, _ in zip(answer, range(limit), strict=False)]
        answer = where.client(v1.ScheduleServiceClient).list_schedules(request=wanted, timeout=SECONDS)
        schedules = [item for item, _ in zip(answer, range(limit), strict=False)]
    console = Console()
    table = Table(title=f"Schedules in {where.parent}")
    for column in ("schedule", "name", "state", "cron", "runs", "next run"):
        table.add_column(column, overflow="fold")
    for item in schedules:
        following = _time(item.next_run_time) if watch.state_of(item) == "ACTIVE" else ""
        row = (_id(item), item.display_name, watch.state_of(item).lower(), item.cron, str(item.started_run_count))
        table.add_row(*row, following)
    console.print(table)
    table = Table(title=f"Runs in {where.parent}")
    for column in ("run", "state", "created", "hours", "schedule", "labels"):
        table.add_column(column, overflow="fold")
    for run in runs:
        spent = (
            f"{(run.end_time - run.start_time).total_seconds() / 3600:.2f}" if run.start_time and run.end_time else ""
        )
        labels = " ".join(f"{name}={value}" for name, value in sorted(run.labels.items()))
        source = run.schedule_name.rpartition("/")[2]
        table.add_row(_id(run), watch.state_of(run).lower(), _time(run.create_time), spent, source, labels)
    console.print(table)


def pause(schedule: tyro.conf.Positional[str], where: Where) -> None:
    """Stops a schedule until it is resumed; runs that have begun go on.

    Args:
        schedule: Its id, as list shows it.
        where: Whose Vertex AI.
    """
    from google.cloud.aiplatform_v1 import ScheduleServiceClient

    with sentences(where, f"pausing {schedule}"):
        where.client(ScheduleServiceClient).pause_schedule(name=where.name("schedules", schedule), timeout=SECONDS)
    print(f"paused {schedule}; resume it with python -m pipelines.vertex resume {schedule}")


def resume(schedule: tyro.conf.Positional[str], where: Where, *, catch_up: bool = False) -> None:
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


def cancel(run: tyro.conf.Positional[str], where: Where) -> None:
    """Cancels a run: running steps are stopped, later ones do not begin.

    Args:
        run: Its id, as list shows it.
        where: Whose Vertex AI.
    """
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    with sentences(where, f"cancelling {run}"):
        where.client(PipelineServiceClient).cancel_pipeline_job(name=where.name("pipelineJobs", run), timeout=SECONDS)
    print(f"asked to cancel {run}; python -m pipelines.vertex wait {run} shows when it is")


def wait(run: tyro.conf.Positional[str], where: Where, *, poll: float = 10.0) -> None:
    """Follows a run that was submitted before.

    Args:
        run: Its id, as list shows it.
        where: Whose Vertex AI.
        poll: Seconds between two looks.
    """
    name = where.name("pipelineJobs", run)
    with sentences(where, f"looking for {run}"):
        _get_run(where, name)
    _follow(where, name, After(wait=True, poll=poll), Console())


def train_alone(
    where: Where,
    training: custom_job.Training,
    after: After,
    *,
    name: str = "metro-recs-trainer",
    labels: tuple[str, ...] = (),
    output: str = "custom_job.yaml",
    send: Annotated[bool, tyro.conf.arg(name="submit")] = False,
    spec: str = "pipeline.json",
) -> None:
    """Trains without a pipeline: writes the file for `gcloud ai custom-jobs create --config`.

    Args:
        where: Whose Vertex AI.
        training: What is trained on what.
        after: Whether to follow it.
        name: Shown in the console.
        labels: name=value, for bills and filters.
        output: The file to write.
        send: Also create the job.
        spec: The compiled pipeline, which knows the Trainer's options.
    """
    from google.cloud.aiplatform_v1 import CustomJob, JobServiceClient

    document = custom_job.spec(training, parameters.read_spec(spec))
    job = {"displayName": name, "jobSpec": document, "labels": checks.labels(labels)}
    message = _message(CustomJob, job)
    Path(output).write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    console = Console()
    more = f" --labels={','.join(labels)}" if labels else ""
    flags = f"--region={where.location} --project={where.project_id} --display-name={name}{more}"
    console.print(
        f"wrote {output}: gcloud ai custom-jobs create --config={output} {flags}", highlight=False, soft_wrap=True
    )
    if not send:
        return
    client = where.client(JobServiceClient)
    with sentences(where, "creating the custom job"):
        made = client.create_custom_job(parent=where.parent, custom_job=message, timeout=SECONDS)
    console.print(f"created custom job {_id(made)}", highlight=False)
    console.print(where.console(f"locations/{where.location}/training/{_id(made)}"), highlight=False, soft_wrap=True)
    if after.wait:
        again = f"gcloud ai custom-jobs stream-logs {_id(made)} --region={where.location}"
        get = partial(client.get_custom_job, name=made.name, timeout=SECONDS)
        raise SystemExit(watch.verdict(watch.follow(where, get, again, after.poll, console), console))


def _submit(where: Where, job: dict[str, Any], before: Before, after: After, group: str) -> None:
    from google.cloud.aiplatform_v1 import PipelineJob, PipelineServiceClient

    console = Console()
    if not _ready(where, job, before, console, job):
        return
    message = _message(PipelineJob, job)
    context = experiment.ensure(where, group) if group else ""
    # Not by aiplatform.PipelineJob.submit: it would create a bucket whose name is mistyped, and hide errors in a log.
    with sentences(where, "submitting the run"):
        made = where.client(PipelineServiceClient).create_pipeline_job(
            parent=where.parent, pipeline_job=message, pipeline_job_id=jobs.job_id(job), timeout=SECONDS
        )
    console.print(f"submitted {_id(made)}", highlight=False)
    page = where.console(f"locations/{where.location}/pipelines/runs/{_id(made)}")
    console.print(page, highlight=False, soft_wrap=True)
    if context and not experiment.associate(where, context, partial(_get_run, where, made.name), after.poll):
        console.print(f"The run is not in the experiment {group}: it has no metadata yet.", highlight=False)
    if after.wait:
        _follow(where, made.name, after, console)


def _ready(where: Where, job: dict[str, Any], before: Before, console: Console, document: dict[str, Any]) -> bool:
    """Checks, then estimates; False for a dry run. What is missing ends the process with 2."""
    _ = where.parent, where.address
    if before.estimate or before.max_cost:
        hours = {**_earlier_hours(where, before.hours_from), **_hours(before.hours)}
        found = cost.estimate(job, hours, before.rows)
        cost.show(found, console)
        cost.expect_below(found, before.max_cost)
    if before.dry_run:
        print(json.dumps(document, indent=1, ensure_ascii=False))
        return False
    if before.preflight:
        findings = preflight.preflight(where, preflight.needs_of(job))
        for state, text, command in findings:
            remedy = f" {'Mend it' if state == 'missing' else 'Perhaps'}: {command}" if command else ""
            console.print(f"{state}: {text}{remedy}", highlight=False, soft_wrap=True, markup=False)
        console.print(f"not checked: {preflight.NOT_CHECKED}", highlight=False, soft_wrap=True)
        if missing := sum(finding.state == "missing" for finding in findings):
            what = "thing is" if missing == 1 else "things are"
            remedy = "Run the commands above; --no-preflight submits all the same."
            raise InputError("preflight", f"that {missing} {what} missing", "all there", remedy)
    return True


def _earlier_hours(where: Where, run: str) -> dict[str, float]:
    if not run:
        return {}
    with sentences(where, f"looking for {run}"):
        job = _get_run(where, where.name("pipelineJobs", run))
    watch.expect_over(job)
    return watch.hours(job)


def _hours(pairs: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for step, text in parameters.pairs_of("--hours", pairs).items():
        try:
            found[step] = float(text)
        except ValueError as error:
            raise InputError("--hours", f"{step}={text}", "a number of hours", "Correct it.") from error
    return found


def _get_run(where: Where, name: str) -> Any:
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    return where.client(PipelineServiceClient).get_pipeline_job(name=name, timeout=SECONDS)


def _follow(where: Where, name: str, after: After, console: Console) -> None:
    again = f"python -m pipelines.vertex wait {name.rpartition('/')[2]}"
    job = watch.follow(where, partial(_get_run, where, name), again, after.poll, console)
    raise SystemExit(watch.verdict(job, console))


def _message(kind: Any, document: dict[str, Any]) -> Any:
    """The SDK's message of a REST body; a field that the API does not have is an error here and not there."""
    from google.protobuf import json_format

    message = kind.pb()()
    json_format.ParseDict(document, message)
    return kind.wrap(message)


def _id(resource: Any) -> str:
    return resource.name.rpartition("/")[2]


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


COMMANDS = {
    "submit": submit,
    "schedule": schedule,
    "list": list_,
    "pause": pause,
    "resume": resume,
    "cancel": cancel,
    "wait": wait,
    "rerun": rerun,
    "custom-job": train_alone,
}

if __name__ == "__main__":
    cli.run_commands(COMMANDS, ABOUT)
