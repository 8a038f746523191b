"""BigQuery's clients: how they are reached, how a stream is read to its end, and what their refusals mean.

Storage Read API: https://cloud.google.com/bigquery/docs/reference/storage
"""

import contextlib
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from components.common.errors import InputError

if TYPE_CHECKING:
    from google.cloud import bigquery
    from google.cloud.bigquery_storage_v1.services import big_query_read

PATIENCE = 120.0  # seconds in which a request is repeated; the clients' own ten minutes look like a hang
ATTEMPTS = 7  # to go on with a stream that gives no row in between, over about a minute
FIRST_PAUSE = 1.0  # seconds, doubled from one attempt to the next
CALL_SECONDS = 300.0  # a call that hangs is given up then; one that only takes longer goes on in another call
# What BigQuery says no to, by HTTP status (those of gRPC are mapped to them): what it expected, and what to do.
ANSWERS = {
    400: ("a query that BigQuery accepts", "Check the columns of both tables."),
    401: ("valid credentials", "Run gcloud auth application-default login, or give the job a service account."),
    403: (
        "permission",
        "Grant BigQuery Job User, Data Viewer and Read Session User, and Data Editor on the temporary dataset; "
        "where the message names a quota, raise it or wait.",
    ),
    404: ("tables that exist", "Check project, dataset, table and location."),
    503: ("an answer", "Check the network, and BIGQUERY_EMULATOR_HOST and BIGQUERY_STORAGE_EMULATOR_HOST if set."),
}
OVER_LIMIT = "a query within max_bytes_billed", "Raise max_bytes_billed, or pass a view of fewer rows."


@dataclass(frozen=True)
class Endpoint:
    """Google Cloud, or an emulator named by BIGQUERY_EMULATOR_HOST and BIGQUERY_STORAGE_EMULATOR_HOST (host:port).

    Pickled with every stream, because the workers have another environment.
    """

    project: str
    rest: str = field(default_factory=lambda: os.environ.get("BIGQUERY_EMULATOR_HOST", ""))
    grpc: str = field(default_factory=lambda: os.environ.get("BIGQUERY_STORAGE_EMULATOR_HOST", ""))

    def client(self, location: str) -> "bigquery.Client":
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        if not self.rest:
            return bigquery.Client(self.project, location=location or None)
        url = self.rest if "://" in self.rest else f"http://{self.rest}"
        options = {"api_endpoint": url}
        return bigquery.Client(self.project, AnonymousCredentials(), location=location or None, client_options=options)

    def reader(self) -> "big_query_read.BigQueryReadClient":
        # The generated client, because the one around it takes up a broken stream for ever and without a pause.
        import grpc
        from google.cloud.bigquery_storage_v1.services import big_query_read
        from google.cloud.bigquery_storage_v1.services.big_query_read import transports

        if not self.grpc:
            return big_query_read.BigQueryReadClient()
        channel = grpc.insecure_channel(self.grpc, options=[("grpc.max_receive_message_length", -1)])
        transport = transports.BigQueryReadGrpcTransport(channel=channel)
        return big_query_read.BigQueryReadClient(transport=transport)


@dataclass(frozen=True)
class BigQueryStream:
    """One stream of a read session; the session is a snapshot, so a stream read again gives the same rows."""

    endpoint: Endpoint
    name: str
    schema: bytes

    def read(self) -> Iterator[pa.RecordBatch]:
        """The stream's rows; where the connection breaks, it goes on behind the last row that arrived.

        Raises:
            InputError: no permission, a stream that stays broken, or one whose session has expired.
        """
        from google.api_core import exceptions

        again = exceptions.ServerError, exceptions.TooManyRequests, exceptions.Aborted
        schema = pa.ipc.read_schema(pa.py_buffer(self.schema))
        rows = failures = 0
        with explained(self.name), self.endpoint.reader() as client:
            while True:
                try:
                    call = {"read_stream": self.name, "offset": rows}
                    for response in client.read_rows(call, retry=None, timeout=CALL_SECONDS):
                        data = pa.py_buffer(response.arrow_record_batch.serialized_record_batch)
                        batch = pa.ipc.read_record_batch(data, schema)
                        rows, failures = rows + batch.num_rows, 0
                        yield batch
                except exceptions.Forbidden:
                    raise
                except exceptions.GoogleAPICallError as error:
                    failures += 1
                    if failures == ATTEMPTS or not isinstance(error, again):
                        found = f"broken after {rows:,} rows, attempt {failures} of {ATTEMPTS}: {error}"
                        expected, remedy = "a stream that can be read to its end", "Run the DataExtractor again."
                        raise InputError(self.name, found, expected, remedy) from error
                else:
                    return
                # At random, so that streams which broke together do not come back together.
                time.sleep(FIRST_PAUSE * 2 ** (failures - 1) * random.uniform(0.5, 1))  # noqa: S311


def retry() -> Any:
    """Repeats a request that a server or the network failed."""
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(PATIENCE)


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """Turns what BigQuery refuses, or that it does not answer, into an InputError."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except exceptions.GoogleAPICallError as error:
        details = next((detail for detail in error.errors if isinstance(detail, dict)), {})
        over_limit = details.get("reason") == "bytesBilledLimitExceeded"
        answer = OVER_LIMIT if over_limit else ANSWERS.get(int(error.code or 0))
        if answer is None:
            raise
        raise InputError(where, details.get("message") or error.message, *answer) from error
    except GoogleAuthError as error:
        raise InputError(where, str(error), *ANSWERS[401]) from error
    except (exceptions.RetryError, OSError) as error:
        raise InputError(where, str(error), *ANSWERS[503]) from error
