"""Runs of the repository's compiled pipelines on the local Vertex AI server."""

from pathlib import Path
from typing import Any

from google.cloud import aiplatform

from tests.integration.sums import name_of
from tests.servers.vertex import VertexServer

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 600


def submit(
    server: VertexServer, job_id: str, parameters: dict[str, Any], spec: str = "pipeline.json"
) -> dict[str, Any]:
    """Submits a compiled pipeline of the repository and returns its job as the server has it once it has ended."""
    job = aiplatform.PipelineJob(
        display_name="training",
        template_path=str(REPOSITORY / spec),
        job_id=job_id,
        pipeline_root="gs://bucket/runs",
        parameter_values=parameters,
    )
    job.submit()
    server.wait(SECONDS)
    return server.resources[name_of(job_id)]


def path_of(server: VertexServer, job: dict[str, Any], step: str, name: str) -> Path:
    """Returns where the server keeps an artifact that a step of the job wrote."""
    details = {detail["taskName"]: detail for detail in job["jobDetail"]["taskDetails"]}
    uri: str = details[step]["outputs"][name]["artifacts"][0]["uri"]
    assert uri.startswith("gs://bucket/runs/")
    return server.state.folder / uri.removeprefix("gs://")
