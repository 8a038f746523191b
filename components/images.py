"""The three container images, and where an artifact lies for the code that runs in them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfp import dsl

DATA_IMAGE = "metro-recs/data:latest"
TRAINER_IMAGE = "metro-recs/trainer:latest"
SERVING_IMAGE = "metro-recs/serving:latest"  # no component runs in it: it answers customers


def location(artifact: "dsl.Artifact") -> str:
    """Where to read or write an artifact: gs:// directly, not through the slow /gcs mount; else the local path."""
    uri = str(artifact.uri)
    return uri if uri.startswith("gs://") else str(artifact.path)


def run_folder(artifact: "dsl.Artifact") -> str:
    """The folder of the run that makes an artifact: a task's own folder is another one when the task is retried."""
    return location(artifact).rstrip("/").rsplit("/", 2)[0]
