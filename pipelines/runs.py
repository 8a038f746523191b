"""What is sent to Vertex AI: a run of a compiled pipeline, and a schedule of runs."""

import copy
import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Any

from components.common import checks
from components.common.errors import InputError
from components.common.shipped import FEATURE_CONFIG
from pipelines import job as jobs
from pipelines import parameters


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a pipeline runs.

    Args:
        pipeline_root: gs:// folder for the run's artifacts, in a bucket that is there; by default the one that the
            pipeline was compiled with.
        parameters_file: YAML or JSON with the pipeline's parameters.
        parameters: The same as name=value, which replace the file's; lists and objects as JSON.
        feature_config: The feature config's file, whose text becomes the parameter feature_config; by default the one
            that is shipped.
        service_account: Whom the steps run as; by default the project's Compute Engine account.
        network: VPC network to peer with, projects/NUMBER/global/networks/NAME.
        labels: name=value, for bills and filters.
        failure_policy: After a step has failed, fast starts no other; slow runs all that do not depend on it.
        caching: Reuse the results of equal steps, where the pipeline was compiled so; --no-caching reruns all.
    """

    pipeline_root: str = ""
    parameters_file: str = ""
    parameters: tuple[str, ...] = ()
    feature_config: str = FEATURE_CONFIG
    service_account: str = ""
    network: str = ""
    labels: tuple[str, ...] = ()
    failure_policy: jobs.FailurePolicy = "slow"
    caching: bool = True


def body(spec: dict[str, Any], run: Run, artifacts: tuple[str, ...] = ()) -> dict[str, Any]:
    """The PipelineJob, as REST writes it, with everything in it checked.

    Args:
        spec: The compiled pipeline.
        run: How it runs.
        artifacts: name=URI of the artifacts that a rerun reads.

    Raises:
        InputError: a parameter, label, image, account, network or pipeline root that Vertex AI would refuse.
    """
    checks.images(spec)
    values = parameters.read(spec, run.parameters_file, (*artifacts, *run.parameters), run.feature_config)
    job = jobs.Job(
        service_account=run.service_account,
        network=run.network,
        labels=run.labels,
        failure_policy=run.failure_policy,
    )
    root = run.pipeline_root or spec.get("defaultPipelineRoot", "")
    return jobs.body(spec if run.caching else _uncached(spec), job, root, values)


def job_id(job: dict[str, Any]) -> str:
    """A new id for a run: its name, the time, and a bit of chance, since schedules and people meet in one second."""
    now = dt.datetime.now(dt.UTC)
    return f"{job['displayName']}-{now:%Y%m%d%H%M%S}-{secrets.token_hex(2)}"


def schedule(
    parent: str,
    job: dict[str, Any],
    *,
    name: str,
    cron: str,
    max_concurrent_runs: int,
    start: dt.datetime | None,
    end: dt.datetime | None,
) -> dict[str, Any]:
    """The Schedule, as REST writes it. Every run of it has the job's own service account, network and labels.

    Raises:
        InputError: no runs at once, or an end that is past or before the start.
    """
    if max_concurrent_runs < 1:
        raise InputError("--max-concurrent-runs", str(max_concurrent_runs), "1 or more", "Correct the number.")
    if end and end <= (start or dt.datetime.now(dt.UTC)):
        raise InputError("--end", end.isoformat(), "a time to come, after --start", "Correct the time.")
    request = {"parent": parent, "pipelineJob": job}
    times = {key: time.isoformat() for key, time in (("startTime", start), ("endTime", end)) if time}
    return {
        "displayName": name or job["displayName"],
        "cron": cron,
        "maxConcurrentRunCount": str(max_concurrent_runs),
        "createPipelineJobRequest": request,
        **times,
    }


def artifact_inputs(spec: dict[str, Any]) -> list[str]:
    """The parameters of a rerun that are artifacts' addresses: what its importers import."""
    tasks = spec["root"]["dag"]["tasks"].values()
    sources = (task.get("inputs", {}).get("parameters", {}).get("uri", {}) for task in tasks)
    return sorted({source["componentInputParameter"] for source in sources if "componentInputParameter" in source})


def _uncached(spec: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(spec)
    for task in changed["root"]["dag"]["tasks"].values():
        task["cachingOptions"] = {}
    return changed
