"""Vertex AI Experiments: a run's parameters and metrics beside those of other runs."""

import re
import time
from functools import partial
from typing import Any

from components.common.errors import InputError
from components.common.google import SECONDS, Where, sentences

SCHEMA, VERSION = "system.Experiment", "0.0.1"
WAIT = 60.0  # seconds until a submitted run has its place in the metadata store


def expect_name(name: str) -> None:
    """Raises InputError for a name that Vertex AI refuses."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,127}", name):
        expected = "lowercase letters, digits and -, 128 at most"
        raise InputError("--experiment", repr(name), expected, "Correct the name.")


def join(where: Where, name: str, get: Any, seconds: float) -> None:
    """Puts a submitted run into an experiment, which is made if there is none: nothing of a refused run is left.

    Args:
        where: Whose Vertex AI.
        name: Of the experiment.
        get: Asks for the run once.
        seconds: Between two looks.

    Raises:
        InputError: it is something else already, out of reach, or the run has no metadata in time.
    """
    if not _associate(where, _ensured(where, name), get, seconds):
        raise InputError("the run's metadata", "none yet", "its place in the metadata store", "Add it by hand.")


def _ensured(where: Where, name: str) -> str:
    """Finds or creates the experiment.

    Args:
        where: Whose Vertex AI.
        name: Of the experiment.

    Returns:
        The experiment's resource name.

    Raises:
        InputError: it is something else already.
    """
    from google.api_core import exceptions as api
    from google.cloud.aiplatform_v1 import Context, CreateMetadataStoreRequest, MetadataServiceClient, MetadataStore

    client = where.client(MetadataServiceClient)
    store = f"{where.parent}/metadataStores/default"
    with sentences(where, f"looking for the experiment {name}"):
        try:
            found = client.get_context(name=f"{store}/contexts/{name}", timeout=SECONDS)
        except api.NotFound:
            made = Context(display_name=name, schema_title=SCHEMA, schema_version=VERSION)
            made.metadata = {"experiment_deleted": False}
            create = partial(client.create_context, parent=store, context=made, context_id=name, timeout=SECONDS)
            try:
                found = create()
            except api.NotFound:  # the first run of a project and region makes the store
                request = CreateMetadataStoreRequest(
                    parent=where.parent, metadata_store=MetadataStore(), metadata_store_id="default"
                )
                client.create_metadata_store(request=request, timeout=SECONDS).result(timeout=SECONDS)
                found = create()
    if found.schema_title != SCHEMA:
        raise InputError("--experiment", f"{name}, a {found.schema_title}", "an experiment", "Choose another name.")
    return found.name


def _associate(where: Where, experiment: str, get: Any, seconds: float) -> bool:
    """Puts a submitted run into an experiment; False when the run has no place in the metadata store in time.

    Args:
        where: Whose Vertex AI.
        experiment: Its resource name.
        get: Asks for the run once.
        seconds: Between two looks.
    """
    from google.cloud.aiplatform_v1 import AddContextChildrenRequest, MetadataServiceClient

    until = time.monotonic() + WAIT
    with sentences(where, "adding the run, which goes on, to the experiment"):
        while not (run := get().job_detail.pipeline_run_context.name):
            if time.monotonic() > until:
                return False
            time.sleep(seconds)
        request = AddContextChildrenRequest(context=experiment, child_contexts=[run])
        where.client(MetadataServiceClient).add_context_children(request=request, timeout=SECONDS)
    return True
