"""Puts a folder in the place of Vertex AI's /gcs mount, for KFP's executor in the processes of vertex_process.py."""

import os

if os.environ.get("_KFP_RUNTIME") == "true":
    from kfp.dsl.types import artifact_types

    artifact_types._GCS_LOCAL_MOUNT_PREFIX = os.environ["GCS_MOUNT"]
