"""Compiles the pipeline: `python compile.py` writes pipeline.json, checked strictly against KFP's own schema."""

import json
from pathlib import Path
from typing import Any, Literal

from components.common import cli
from components.common.errors import InputError
from components.images import DATA_IMAGE, TRAINER_IMAGE


def compile_pipeline(
    *,
    output: str = "pipeline.json",
    registry: str = "",
    tag: str = "latest",
    accelerator: str = "",
    accelerator_count: Literal[1, 2, 4, 8, 16] = 1,
    check: bool = False,
) -> None:
    """Writes the training pipeline as JSON, the same bytes every time.

    Args:
        output: The file to write.
        registry: Where the images are, for example europe-west3-docker.pkg.dev/my-project/metro-recs.
        tag: The images' tag.
        accelerator: GPU of the Trainer, one of Vertex AI's names, for example NVIDIA_TESLA_A100; "" trains on CPU.
        accelerator_count: How many of them.
        check: Write nothing; fail when `output` is not up to date.

    Raises:
        InputError: an accelerator that Vertex AI does not have, or with --check a stale file.
    """
    text = json.dumps(spec(registry, tag, accelerator, accelerator_count), indent=1, sort_keys=True) + "\n"
    file = Path(output)
    if not check:
        file.write_text(text, encoding="utf-8")
        print(f"wrote {output}")
    elif not file.exists() or file.read_text(encoding="utf-8") != text:
        raise InputError(output, "a stale or missing file", "what compile.py writes", "Run python compile.py.")


def spec(registry: str = "", tag: str = "latest", accelerator: str = "", accelerator_count: int = 1) -> dict[str, Any]:
    """The compiled and validated PipelineSpec."""
    import tempfile

    from kfp import compiler

    from pipelines.training import training

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.json")
        compiler.Compiler().compile(training, str(path))
        document = json.loads(path.read_text(encoding="utf-8"))
    prefix = f"{registry.rstrip('/')}/" if registry else ""
    images = {image: f"{prefix}{image.rpartition(':')[0]}:{tag}" for image in (DATA_IMAGE, TRAINER_IMAGE)}
    for executor in document["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = images[executor["container"]["image"]]
    if accelerator:
        _expect_accelerator(accelerator)
        trainer = document["deploymentSpec"]["executors"]["exec-trainer"]["container"]
        trainer["resources"] = {"accelerator": {"type": accelerator, "count": str(accelerator_count)}}
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


def _expect_accelerator(name: str) -> None:
    from google.cloud.aiplatform_v1 import AcceleratorType

    known = sorted(set(AcceleratorType.__members__) - {"ACCELERATOR_TYPE_UNSPECIFIED"})
    if name not in known:
        raise InputError("--accelerator", name, f"one of {', '.join(known)}", "Correct the name.")


if __name__ == "__main__":
    cli.run(compile_pipeline)
