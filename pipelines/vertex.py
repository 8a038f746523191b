"""The pipeline on Vertex AI: `python -m pipelines.vertex --help`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from components.common import checks, cli
from components.common.errors import InputError, expect_at_least, expect_choice
from components.common.google import SECONDS, Where, sentences
from pipelines import cron, custom_job, listing, parameters, runs, submission, watch
from pipelines import job as jobs
from pipelines.machines import Machine
from pipelines.runs import Run
from pipelines.steps import RERUNS, STEPS
from pipelines.submission import After, Before

Experiment = Annotated[str, tyro.conf.arg(name="experiment")]
Id = tyro.conf.Positional[str]
ABOUT = """Submits the compiled pipeline to Vertex AI, follows and schedules it, and reruns single components.

A first run, for purchases in BigQuery:
  export GOOGLE_CLOUD_PROJECT=my-project GOOGLE_CLOUD_REGION=europe-west3;
  python compile.py --registry europe-west3-docker.pkg.dev/my-project;
  python -m pipelines.vertex submit --pipeline-root gs://my-bucket/runs \\
  --parameters purchases=my-project.shop.purchases products=my-project.shop.products --wait

COMMAND --help explains a command. Exit codes: 0 done, 1 the run failed or was cancelled, 2 bad input."""


def submit(
    where: Where,
    run: Run,
    before: Before,
    after: After,
    *,
    spec: str = "pipeline.json",
    experiment_: Experiment = "",
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
    submission.submit(where, runs.body(parameters.read_spec(spec), run), before, after, experiment_)


def rerun(
    component: Id,
    where: Where,
    run: Run,
    before: Before,
    after: After,
    *,
    inputs: Annotated[tuple[str, ...], tyro.conf.arg(name="input")] = (),
    folder: str = RERUNS,
    experiment_: Experiment = "",
) -> None:
    """Runs one component on artifacts that are there already.

    Args:
        component: data-extractor, vocab-builder, trainer, evaluator or exporter.
        where: Whose Vertex AI.
        run: How it runs.
        before: Checks and estimate.
        after: Whether to follow it.
        inputs: Its artifacts, for example examples=gs://bucket/run/examples.
        folder: Of the pipelines that compile.py writes for reruns.
        experiment_: Vertex AI experiment that shows the run's parameters and metrics beside others'.
    """
    expect_choice("COMPONENT", component, tuple(STEPS))
    spec = parameters.read_spec(f"{folder}/{component}.json")
    artifacts, given = runs.artifact_inputs(spec), jobs.pairs_of("--input", inputs)
    if set(given) != set(artifacts):
        some = " ".join(f"{artifact}=gs://…" for artifact in artifacts)
        found, expected = ", ".join(sorted(given)) or "nothing", ", ".join(artifacts) or "nothing: it reads no artifact"
        raise InputError("--input", found, expected, f"Give --input {some}" if some else "Leave it out.")
    for artifact, uri in given.items():
        checks.bucket(f"--input {artifact}", uri)
    submission.submit(where, runs.body(spec, run, inputs), before, after, experiment_)


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
    if not submission.is_ready(where, job, before, console, document):
        return
    with sentences(where, "creating the schedule"):
        made = where.client(ScheduleServiceClient).create_schedule(
            parent=where.parent, schedule=submission.message(Schedule, document), timeout=SECONDS
        )
    console.print(f"created schedule {_id(made)}")
    if made.next_run_time:
        console.print(f"next run {made.next_run_time:%Y-%m-%d %H:%M} UTC")
    console.print(where.console(f"locations/{where.location}/pipelines/schedules/{_id(made)}"), soft_wrap=True)


def list_(where: Where, *, limit: int = 20) -> None:
    """Lists schedules and the latest runs.

    Args:
        where: Whose Vertex AI.
        limit: Of each, the newest so many.
    """
    expect_at_least("--limit", limit, 0)
    with sentences(where, "listing"):
        schedules, found = listing.newest(where, limit)
    listing.show(where, schedules, found, submission.terminal())


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


def cancel(run: Id, where: Where) -> None:
    """Cancels a run: running steps are stopped, later ones do not begin.

    Args:
        run: Its id, as list shows it.
        where: Whose Vertex AI.
    """
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    with sentences(where, f"cancelling {run}"):
        where.client(PipelineServiceClient).cancel_pipeline_job(name=where.name("pipelineJobs", run), timeout=SECONDS)
    print(f"asked to cancel {run}; python -m pipelines.vertex wait {run} shows when it is")


def wait(run: Id, where: Where, *, poll: float = 10.0) -> None:
    """Follows a run that was submitted before.

    Args:
        run: Its id, as list shows it.
        where: Whose Vertex AI.
        poll: Seconds between two looks.
    """
    name = where.name("pipelineJobs", run)
    with sentences(where, f"looking for {run}"):
        submission.get_run(where, name)
    submission.follow(where, name, After(wait=True, poll=poll), submission.terminal())


def train_alone(
    where: Where,
    training: custom_job.Training,
    machine: Machine,
    after: After,
    *,
    name: str = "metro-recs-trainer",
    output: str = "custom_job.yaml",
    send: Annotated[bool, tyro.conf.arg(name="submit")] = False,
    spec: str = f"{RERUNS}/trainer.json",
) -> None:
    """Trains without a pipeline: writes the file for `gcloud ai custom-jobs create --config`.

    Args:
        where: Whose Vertex AI.
        training: What is trained on what.
        machine: On what: one machine, or several that train together.
        after: Whether to follow it.
        name: Shown in the console.
        output: The file to write.
        send: Also create the job.
        spec: The compiled pipeline of the Trainer alone, which knows its parameters.
    """
    from google.cloud.aiplatform_v1 import CustomJob, JobServiceClient

    expect_at_least("--poll", after.poll, submission.LEAST_POLL)
    document = custom_job.spec(training, machine, parameters.read_spec(spec))
    labels = jobs.label_values(training.labels)
    job = submission.message(CustomJob, {"displayName": name, "jobSpec": document, "labels": labels})
    flags = f"--region={where.location} --project={where.project_id} --display-name={name}"
    flags += f" --labels={','.join(training.labels)}" if labels else ""
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    Path(output).write_text(text, encoding="utf-8")
    console = submission.terminal()
    console.print(f"wrote {output}, for gcloud ai custom-jobs create --config={output} {flags}", soft_wrap=True)
    if not send:
        return
    client = where.client(JobServiceClient)
    with sentences(where, "creating the custom job"):
        made = client.create_custom_job(parent=where.parent, custom_job=job, timeout=SECONDS)
    console.print(f"created custom job {_id(made)}")
    console.print(where.console(f"locations/{where.location}/training/{_id(made)}"), soft_wrap=True)
    if after.wait:
        again = f"gcloud ai custom-jobs stream-logs {_id(made)} --region={where.location}"
        get = partial(client.get_custom_job, name=made.name, timeout=SECONDS)
        raise SystemExit(watch.verdict(watch.follow(where, get, again, after.poll, console), console))


def _id(resource: Any) -> str:
    return resource.name.rpartition("/")[2]


COMMANDS: dict[str, Callable[..., Any]] = {
    "submit": submit,
    "wait": wait,
    "cancel": cancel,
    "rerun": rerun,
    "schedule": schedule,
    "pause": pause,
    "resume": resume,
    "list": list_,
    "custom-job": train_alone,
}

if __name__ == "__main__":
    cli.run_commands(COMMANDS, ABOUT)
