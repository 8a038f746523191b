"""Tasks that start a custom job: google-cloud-pipeline-components' launcher, whose own process would ask the service.

https://google-cloud-pipeline-components.readthedocs.io/en/latest/api/v1/custom_job.html
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.cloud import aiplatform_v1
from kfp.dsl import placeholders

from tests.servers import vertex_jobs

if TYPE_CHECKING:
    from tests.servers.vertex_runner import Run

MODULE = "google_cloud_pipeline_components.container.v1.custom_job.launcher"
PLACEHOLDER = re.compile(r"\{\{\$(?:\.[^{}]+)?\}\}")


def run(run: "Run", container: dict[str, Any], executor_input: dict[str, Any]) -> str:
    """Makes the custom job that the container would make, and runs it to its end.

    Returns:
        Why it failed, or "".
    """
    parent = run.job["name"].rpartition("/pipelineJobs/")[0]
    arguments = container["args"]
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    body = _without_empty(json.loads(_filled(run, options["--payload"], executor_input)))
    scheduling = body["job_spec"].get("scheduling", {})
    if scheduling.get("strategy") != "FLEX_START":
        scheduling.pop("max_wait_duration", None)  # as the launcher does
    with run.state.lock:
        job = vertex_jobs.keep(run.state, parent, body, aiplatform_v1)
        run.state.stopping[job["name"]] = run.stopping
    resources = {"resources": [{"resourceType": "CustomJob", "resourceUri": job["name"]}]}
    told = Path(executor_input["outputs"]["parameters"]["gcp_resources"]["outputFile"])
    told.parent.mkdir(parents=True, exist_ok=True)
    told.write_text(json.dumps(resources), encoding="utf-8")
    vertex_jobs.run(run.state, job)
    return "" if job["state"] == "JOB_STATE_SUCCEEDED" else f"The custom job {job['name']}: {job['error']['message']}"


def _filled(run: "Run", payload: str, executor_input: dict[str, Any]) -> str:
    """The payload with the inputs in it, then with what these ask for in turn."""
    location = run.job["name"].split("/")
    inputs = {
        str(placeholders.InputValuePlaceholder(name)): value if isinstance(value, str) else json.dumps(value)
        for name, value in executor_input["inputs"]["parameterValues"].items()
    }
    # The compiled component leaves out defaults that are empty, and the launcher what is null.
    missing = {matched[0]: "null" for matched in PLACEHOLDER.finditer(payload) if ".inputs." in matched[0]}
    inputs = {**missing, **inputs}
    whole = json.dumps(executor_input)
    run_values = {
        "{{$}}": whole,
        "{{$.json_escape[1]}}": json.dumps(whole)[1:-1],
        "{{$.pipeline_google_cloud_project_id}}": location[1],
        "{{$.pipeline_google_cloud_location}}": location[3],
        "{{$.pipeline_service_account}}": run.job.get("serviceAccount", ""),
        "{{$.pipeline_network}}": run.job.get("network", ""),
        "{{$.pipeline_encryption_key_name}}": run.job.get("encryptionSpec", {}).get("kmsKeyName", ""),
        "{{$.pipeline_persistent_resource_id}}": "",
    }
    for values in (inputs, run_values):
        payload = PLACEHOLDER.sub(lambda matched: values.get(matched[0], matched[0]), payload)  # noqa: B023
    return payload


def _without_empty(value: Any) -> Any:
    """What the launcher sends: nothing that is empty."""
    if isinstance(value, dict):
        kept = {key: _without_empty(each) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each not in ("", None, {}, [])}
    if isinstance(value, list):
        return [_without_empty(each) for each in value]
    return value
