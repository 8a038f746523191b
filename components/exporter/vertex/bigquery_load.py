"""Replaces a BigQuery table by a Parquet file in one load job: the old rows are there until the new ones all are."""

import contextlib
import os
from typing import Any

from components.common import progress
from components.common.errors import InputError
from components.common.google import LOGIN

RETRIES = 6  # of an upload that breaks off
REMEDIES = {
    400: "Check the table's name, its schema and its dataset.",
    401: LOGIN,
    403: "Grant BigQuery Job User on the project and Data Editor on the dataset.",
    404: "Create the dataset, or correct its name and --location.",
}


def replace(table: str, path: str, project: str, location: str, labels: dict[str, str]) -> None:
    """Loads a local Parquet file in place of what the table holds.

    Args:
        table: project.dataset.table; it is created if there is none.
        path: The file.
        project: The project that pays; "" is the table's.
        location: Where the dataset is; "" lets BigQuery find out.
        labels: Of the job.

    Raises:
        InputError: BigQuery does not answer, or refuses.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import bigquery

    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
        labels=labels,
    )
    try:
        with (
            progress.step(f"Loading {table}"),
            _client(project or table.split(".")[0], location) as client,
            open(path, "rb") as file,
        ):
            client.load_table_from_file(file, table, job_config=config, num_retries=RETRIES).result()
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        code = 401 if isinstance(error, GoogleAuthError) else int(getattr(error, "code", None) or 0)
        found = " ".join(str(getattr(error, "message", None) or error).split())[:400]
        remedy = REMEDIES.get(code, "Check the network, and try again.")
        raise InputError(f"table {table}", found, "a table that may be replaced", remedy) from error


def _client(project: str, location: str) -> Any:
    """A client; an emulator named by BIGQUERY_EMULATOR_HOST (host:port) never sees a token."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    host = os.environ.get("BIGQUERY_EMULATOR_HOST", "")
    options: dict[str, Any] = {}
    if host:
        url = host if "://" in host else f"http://{host}"
        options = {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": url}}
    return contextlib.closing(bigquery.Client(project, location=location or None, **options))
