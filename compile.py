"""Compiles the pipelines: `python compile.py` writes them, checked strictly against KFP's own schema.

pipeline.json is the pipeline, pipeline.yaml the same for tools that want YAML, reruns/ holds one pipeline for each
component alone. The bytes are the same every time.
"""

import functools
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from components.common import cli, feature_config, storage
from components.common.errors import InputError, expect_choice
from components.images import DATA_IMAGE, TRAINER_IMAGE
from pipelines import checks
from pipelines import job as jobs
from pipelines.job import NO_JOB, Job
from pipelines.steps import RERUNS, STANDARD, STEPS, Settings

REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9][a-z0-9._:-]*)*/?")
TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
PROJECT = re.compile(r"([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")


def compile_pipeline(
    settings: Settings = STANDARD,
    job: Job = NO_JOB,
    *,
    output: str = "pipeline.json",
    registry: str = "",
    tag: str = "latest",
    project: str = "",
    region: str = "",
    pipeline_root: str = "",
    check: bool = False,
) -> None:
    """Writes the pipelines, the same bytes every time.

    Args:
        settings: How the steps run.
        job: What to run the pipeline with.
        output: The file to write; pipeline.yaml and reruns/ go beside it.
        registry: Where the images are; "" takes REGION-docker.pkg.dev/PROJECT, or without these this machine's.
        tag: The images' tag.
        project: Google Cloud project; in a job body it also pays for the query.
        region: For example europe-west3.
        pipeline_root: Folder for the artifacts, for example gs://my-bucket/runs.
        check: Write nothing; fail when a file is not up to date.

    Raises:
        InputError: a choice that Vertex AI would refuse, or with --check a stale file.
    """
    if not job.job_body and job != NO_JOB:
        given = ", ".join(f"--{name.replace('_', '-')}" for name in vars(job) if vars(job)[name] != vars(NO_JOB)[name])
        raise InputError(
            given, "no --job-body", "one, since these belong into a job's body", "Add --job-body job.json."
        )
    registry = registry or _registry(project, region)
    if pipeline_root.startswith("gs:") or job.job_body:
        jobs.expect_root(pipeline_root)
    document = spec(registry, tag, settings=settings, pipeline_root=pipeline_root)
    file = Path(output)
    texts = {file: _json(document), file.with_suffix(".yaml"): yaml.safe_dump(document, allow_unicode=True, width=120)}
    if job.job_body:
        texts[Path(job.job_body)] = _json(_job_body(document, job, registry, project, pipeline_root))
    for name in STEPS:
        alone = spec(registry, tag, component=name, settings=settings, pipeline_root=pipeline_root)
        texts[file.parent / RERUNS / f"{name}.json"] = _json(alone)
    for path, text in texts.items():
        if check:
            _expect_current(path, text)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")


def spec(
    registry: str = "",
    tag: str = "latest",
    *,
    component: str = "",
    settings: Settings = STANDARD,
    pipeline_root: str = "",
) -> dict[str, Any]:
    """The compiled and validated PipelineSpec.

    Args:
        registry: Where the images are; "" on this machine.
        tag: Theirs.
        component: Such as vocab-builder, to run it alone; "" is the whole pipeline.
        settings: How the steps run.
        pipeline_root: Where artifacts go if a run does not say.

    Raises:
        InputError: a choice that Vertex AI would refuse.
    """
    if component:
        expect_choice("component", component, tuple(STEPS))
    if not TAG.fullmatch(tag):
        raise InputError("--tag", repr(tag), "letters, digits, _, . and -, 128 at most", "Correct the tag.")
    if registry and not REGISTRY.fullmatch(registry):
        expected = "a host and a path, without https://, such as europe-west3-docker.pkg.dev/my-project"
        raise InputError("--registry", repr(registry), expected, "Correct the address.")
    text = _compiled(component, settings.checked())
    prefix = f"{registry.rstrip('/')}/" if registry else ""
    for image in (DATA_IMAGE, TRAINER_IMAGE):  # in executors, and in what a custom job is told
        text = text.replace(json.dumps(image), json.dumps(f"{prefix}{image.rpartition(':')[0]}:{tag}"))
    document: dict[str, Any] = json.loads(text)
    if pipeline_root:
        document["defaultPipelineRoot"] = pipeline_root.rstrip("/")
    validate(document)
    return document


def validate(document: dict[str, Any]) -> None:
    """Parses the spec strictly, and every executor by itself, which PipelineSpec keeps as an unchecked Struct.

    Raises:
        google.protobuf.json_format.ParseError: naming the field.
    """
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2 as pb

    json_format.ParseDict(document, pb.PipelineSpec())
    for executor in document["deploymentSpec"]["executors"].values():
        json_format.ParseDict(executor, pb.PipelineDeploymentConfig.ExecutorSpec())


@functools.cache  # KFP looks through the whole stack for every limit that is set
def _compiled(component: str, settings: Settings) -> str:
    """KFP's JSON, with the images' own names."""
    from kfp import compiler

    from pipelines.rerun import rerun
    from pipelines.training import training

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.json")
        compiler.Compiler().compile(rerun(component, settings) if component else training(settings), str(path))
        return path.read_text(encoding="utf-8")


def _registry(project: str, region: str) -> str:
    for flag, value, pattern, example in (
        ("--project", project, PROJECT, "a project's id such as my-project"),
        ("--region", region, checks.REGION, "a region such as europe-west3"),
    ):
        if value and not pattern.fullmatch(value):
            raise InputError(flag, repr(value), example, "Correct the name.")
    return f"{region}-docker.pkg.dev/{project.replace(':', '/')}" if project and region else ""


def _job_body(document: dict[str, Any], job: Job, registry: str, project: str, root: str) -> dict[str, Any]:
    if not registry:
        remedy = "Add --registry, or --project and --region."
        raise InputError("--registry", "none", "a registry that Vertex AI can pull the images from", remedy)
    text = storage.read_text(job.feature_config, "feature config")
    feature_config.load(text)
    known = {"feature_config": text, **({"project": project} if project else {})}
    return jobs.body(document, job, root, jobs.parameter_values(document, job.parameters, known))


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _expect_current(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        raise InputError(str(path), "a stale or missing file", "what compile.py writes", "Run python compile.py.")


if __name__ == "__main__":
    cli.run(compile_pipeline)
