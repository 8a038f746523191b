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
from pipelines import (
    cost,
    custom_job,
    demand,
    listing,
    parameters,
    preflight,
    runs,
    schedules,
    submission,
)
from pipelines import job as jobs
from pipelines.machines import Machine
from pipelines.runs import Run
from pipelines.steps import PARTS, RERUNS
from pipelines.submission import Before
from pipelines.watch import After

Experiment = Annotated[str, tyro.conf.arg(name="experiment")]
Id = tyro.conf.Positional[str]
ABOUT = """Submits the compiled pipeline to Vertex AI, follows and schedules it, and reruns single components.

A first run, for purchases in BigQuery:
  export GOOGLE_CLOUD_PROJECT=my-project GOOGLE_CLOUD_REGION=europe-west3;
  python compile.py --registry europe-west3-docker.pkg.dev/my-project --tag v1;
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
    """Runs one component, or the pipeline from the Trainer on, with artifacts that are there already.

    Args:
        component: data-extractor, vocab-builder, trainer, evaluator or exporter, or retraining.
        where: Whose Vertex AI.
        run: How it runs.
        before: Checks and estimate.
        after: Whether to follow it.
        inputs: Its artifacts, for example examples=gs://bucket/run/examples.
        folder: Of the pipelines that compile.py writes for reruns.
        experiment_: Vertex AI experiment that shows the run's parameters and metrics beside others'.
    """
    expect_choice("COMPONENT", component, PARTS)
    spec = parameters.read_spec(f"{folder}/{component}.json")
    artifacts, given = runs.artifact_inputs(spec), jobs.pairs_of("--input", inputs)
    if set(given) != set(artifacts):
        some = " ".join(f"{artifact}=gs://…" for artifact in artifacts)
        found, expected = ", ".join(sorted(given)) or "nothing", ", ".join(artifacts) or "nothing: it reads no artifact"
        raise InputError("--input", found, expected, f"Give --input {some}" if some else "Leave it out.")
    for artifact, uri in given.items():
        checks.bucket(f"--input {artifact}", uri)
    submission.submit(where, runs.body(spec, run, inputs), before, after, experiment_)


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


def wait(run: Id, where: Where, *, poll: float = 10.0, wait_minutes: float = 0.0) -> None:
    """Follows a run that was submitted before.

    Args:
        run: Its id, as list shows it.
        where: Whose Vertex AI.
        poll: Seconds between two looks.
        wait_minutes: Follow it so long at most, then exit with 1 while the run goes on; 0 sets no limit.
    """
    after = After(wait=True, poll=poll, wait_minutes=wait_minutes)
    after.check()
    name = where.name("pipelineJobs", run)
    with sentences(where, f"looking for {run}"):
        submission.get_run(where, name)
    submission.follow(where, name, after, submission.terminal())


def train_alone(
    where: Where,
    training: custom_job.Training,
    machine: Machine,
    before: Before,
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
        before: Checks and estimate, with --submit.
        after: Whether to follow it, with --submit.
        name: Shown in the console.
        output: The file to write.
        send: Also create the job.
        spec: The compiled pipeline of the Trainer alone, which knows its parameters.
    """
    after.check()
    rerun_spec = parameters.read_spec(spec)
    document = custom_job.spec(training, machine, rerun_spec)
    labels = jobs.label_values(training.labels)
    job = {"displayName": name, "jobSpec": document, **({"labels": labels} if labels else {})}
    flags = f"--region={where.location} --project={where.project_id} --display-name={name}"
    flags += f" --labels={','.join(training.labels)}" if labels else ""
    console = submission.terminal()
    if send or before.dry_run:
        pools, values = demand.pools_of(document), jobs.defaults(rerun_spec) | custom_job.values(training, rerun_spec)
        bill = partial(cost.estimate_training, pools, values, rows=before.rows, region=where.location)
        needs = preflight.needs_of_training(document, pools, training.output_path)
        if not submission.is_ready(where, submission.Plan(job, {"trainer"}, bill, needs), before, console):
            return
    Path(output).write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    console.print(f"wrote {output}, for gcloud ai custom-jobs create --config={output} {flags}", soft_wrap=True)
    if send:
        submission.create_custom_job(where, job, after, console)


COMMANDS: dict[str, Callable[..., Any]] = {
    "submit": submit,
    "wait": wait,
    "cancel": cancel,
    "rerun": rerun,
    "schedule": schedules.schedule,
    "pause": schedules.pause,
    "resume": schedules.resume,
    "list": list_,
    "custom-job": train_alone,
}

if __name__ == "__main__":
    cli.run_commands(COMMANDS, ABOUT)
