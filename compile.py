"""Compiles the pipelines: `python compile.py` writes them, checked strictly against KFP's own schema.

pipeline.json is the pipeline, pipeline.yaml the same for tools that want YAML, reruns/ holds one pipeline for each
component alone, and retraining.json, the pipeline from the Trainer on. The bytes are the same every time. With the
parameters of a run there is job.json, too, for submit.sh.
"""

import contextlib
import functools
import json
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from components.common import checks, cli, feature_config, storage
from components.common.errors import InputError, expect_choice
from components.images import DATA_IMAGE, TRAINER_IMAGE
from pipelines import job as jobs
from pipelines.job import NO_JOB, Job
from pipelines.steps import PARTS, RERUNS, RETRAINING, STANDARD, Settings

REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9][a-z0-9._:-]*)*/?")
TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
JOB_BODY = "job.json"


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
    if project:
        checks.project("--project", project)
    if region:
        checks.region("--region", region)
    job_body = job.job_body or (str(Path(output).with_name(JOB_BODY)) if job != NO_JOB else "")
    registry = registry or _registry(project, region)
    if pipeline_root.startswith("gs:") or job_body:
        jobs.expect_root(pipeline_root)
    document = spec(registry, tag, settings=settings, pipeline_root=pipeline_root)
    body = _json(_job_body(document, job, registry, project, pipeline_root)) if job_body else ""
    file = Path(output)
    texts = {file: _json(document), file.with_suffix(".yaml"): yaml.safe_dump(document, allow_unicode=True, width=120)}
    if body:
        texts[Path(job_body)] = body
    for name in PARTS:
        alone = spec(registry, tag, component=name, settings=settings, pipeline_root=pipeline_root)
        texts[file.parent / RERUNS / f"{name}.json"] = _json(alone)
    if check:
        for path, text in texts.items():
            _expect_current(path, text)
        return
    _replace(texts)
    for path in texts:
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
        component: Such as vocab-builder, to run it alone, or retraining; "" is the whole pipeline.
        settings: How the steps run.
        pipeline_root: Where artifacts go if a run does not say.

    Raises:
        InputError: a choice that Vertex AI would refuse.
    """
    if component:
        expect_choice("component", component, PARTS)
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


@functools.cache
def _compiled(component: str, settings: Settings) -> str:
    """KFP's JSON, with the images' own names.

    Compiled in a thread, whose stack is short: KFP looks through the whole stack for every limit that is set.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_compile, component, settings).result()


def _compile(component: str, settings: Settings) -> str:
    from kfp import compiler

    from pipelines.rerun import rerun, retraining
    from pipelines.training import training

    pipelines = {"": training, RETRAINING: retraining}
    pipeline = pipelines[component](settings) if component in pipelines else rerun(component, settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.json")
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8")


def _registry(project: str, region: str) -> str:
    return f"{region}-docker.pkg.dev/{project.replace(':', '/')}" if project and region else ""


def _job_body(document: dict[str, Any], job: Job, registry: str, project: str, root: str) -> dict[str, Any]:
    if not registry:
        remedy = "Add --registry, or --project and --region."
        raise InputError("--registry", "none", "a registry that Vertex AI can pull the images from", remedy)
    checks.images(document)
    text = storage.read_text(job.feature_config, "feature config")
    feature_config.load(text)
    known = {"feature_config": text, **({"project": project} if project else {})}
    return jobs.body(document, job, root, jobs.parameter_values(document, job.parameters, known))


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _replace(texts: dict[Path, str]) -> None:
    """Writes the files anew, all of them or, when the disk is full or a folder may not be written to, none."""
    partial = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial[path].write_text(text, encoding="utf-8")
        for path, written in partial.items():
            written.replace(path)
    except OSError as error:
        remedy = "Free the disk, or choose another place with --output and --job-body."
        raise InputError(str(error.filename or "the files"), str(error.strerror), "to be written", remedy) from error
    finally:
        for written in partial.values():
            with contextlib.suppress(OSError):  # moved, or never there
                written.unlink()


def _expect_current(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        raise InputError(str(path), "a stale or missing file", "what compile.py writes", "Run python compile.py.")


if __name__ == "__main__":
    cli.run(compile_pipeline)
