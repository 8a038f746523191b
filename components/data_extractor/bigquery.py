"""Purchases and products in BigQuery: one query into a temporary table, read over the Storage Read API as Arrow.

Beam's own ReadFromBigQuery cannot be pointed at another endpoint and makes a dataset of its own; the two public
clients can be, and need only a dataset that exists.

Storage Read API: https://cloud.google.com/bigquery/docs/reference/storage
"""

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from components.common.errors import InputError
from components.data_extractor.sources import TABLE, Source, Table, with_names

if TYPE_CHECKING:
    from google.cloud import bigquery, bigquery_storage_v1

MAX_STREAMS = 64
TYPES = {
    "STRING": "string",
    **dict.fromkeys(("INTEGER", "INT64"), "int64"),
    **dict.fromkeys(("FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"), "float"),
    **dict.fromkeys(("TIMESTAMP", "DATETIME"), "timestamp"),
}
PARAMETER_TYPES = {str: "STRING", int: "INT64", float: "FLOAT64"}


@dataclass(frozen=True)
class Endpoint:
    """Google Cloud, or an emulator named by BIGQUERY_EMULATOR_HOST and BIGQUERY_STORAGE_EMULATOR_HOST (host:port).

    Pickled with every stream, because the workers have another environment.
    """

    project: str
    rest: str = field(default_factory=lambda: os.environ.get("BIGQUERY_EMULATOR_HOST", ""))
    grpc: str = field(default_factory=lambda: os.environ.get("BIGQUERY_STORAGE_EMULATOR_HOST", ""))

    def client(self) -> "bigquery.Client":
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        if not self.rest:
            return bigquery.Client(project=self.project)
        url = self.rest if "://" in self.rest else f"http://{self.rest}"
        return bigquery.Client(self.project, AnonymousCredentials(), client_options={"api_endpoint": url})

    def reader(self) -> "bigquery_storage_v1.BigQueryReadClient":
        import grpc
        from google.cloud import bigquery_storage_v1
        from google.cloud.bigquery_storage_v1.services.big_query_read import transports

        if not self.grpc:
            return bigquery_storage_v1.BigQueryReadClient()
        channel = grpc.insecure_channel(self.grpc, options=[("grpc.max_receive_message_length", -1)])
        transport = transports.BigQueryReadGrpcTransport(channel=channel)
        return bigquery_storage_v1.BigQueryReadClient(transport=transport)


@dataclass(frozen=True)
class BigQueryStream:
    """One stream of a read session; the session is a snapshot, so a stream read again gives the same rows."""

    endpoint: Endpoint
    name: str
    schema: bytes

    def read(self) -> Iterator[pa.RecordBatch]:
        schema = pa.ipc.read_schema(pa.py_buffer(self.schema))
        for response in self.endpoint.reader().read_rows(self.name):
            yield pa.ipc.read_record_batch(pa.py_buffer(response.arrow_record_batch.serialized_record_batch), schema)


class BigQuerySource(Source):
    """Both tables in BigQuery.

    Args:
        purchases: project.dataset.table.
        products: project.dataset.table.
        project: The project that pays; by default that of the purchases.
        temp_dataset: project.dataset, or a dataset of `project`, for the query's result. The table in it is deleted
            at the end, and expires after a day should this process be killed.

    Raises:
        InputError: no dataset given, or a name that is not one.
    """

    def __init__(self, purchases: str, products: str, project: str, temp_dataset: str):
        self.names: dict[str, str] = {"purchases": purchases, "products": products}
        self.endpoint = Endpoint(project or purchases.split(".")[0])
        dataset = temp_dataset if "." in temp_dataset else f"{self.endpoint.project}.{temp_dataset}"
        self.names["examples"] = f"{dataset}.metro_recs_{uuid.uuid4().hex}"
        if not TABLE.fullmatch(self.names["examples"]):
            remedy = "Name a dataset in which a table may be created for the time of the run."
            raise InputError("temp_dataset", repr(temp_dataset), "project.dataset", remedy)

    def __enter__(self) -> "BigQuerySource":
        self.client = self.endpoint.client()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.client.delete_table(self.names["examples"], not_found_ok=True)
        finally:
            self.client.close()

    def columns(self, table: Table) -> dict[str, str]:
        with _explained(f"{table} {self.names[table]}"):
            fields = self.client.get_table(self.names[table]).schema
        return {f.name: "a list" if f.mode == "REPEATED" else TYPES.get(f.field_type, f.field_type) for f in fields}

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [dict(row.items()) for row in self._run(with_names(sql, self.names), parameters)]

    def materialise(self, sql: str, parameters: Mapping[str, Any]) -> list[BigQueryStream]:
        from google.cloud.bigquery_storage_v1 import types

        self._run(create_table(self.names["examples"], with_names(sql, self.names)), parameters)
        project, dataset, table = self.names["examples"].split(".")
        with _explained(self.names["examples"]):
            session = self.endpoint.reader().create_read_session(
                parent=f"projects/{self.endpoint.project}",
                read_session=types.ReadSession(
                    table=f"projects/{project}/datasets/{dataset}/tables/{table}",
                    data_format=types.DataFormat.ARROW,
                ),
                max_stream_count=MAX_STREAMS,
            )
        arrow_schema = session.arrow_schema.serialized_schema
        return [BigQueryStream(self.endpoint, stream.name, arrow_schema) for stream in session.streams]

    def _run(self, sql: str, parameters: Mapping[str, Any]) -> Any:
        from google.cloud import bigquery

        typed = [bigquery.ScalarQueryParameter(k, PARAMETER_TYPES[type(v)], v) for k, v in parameters.items()]
        with _explained(f"{self.names['purchases']} and {self.names['products']}"):
            return self.client.query(sql, job_config=bigquery.QueryJobConfig(query_parameters=typed)).result()


def create_table(name: str, sql: str) -> str:
    """SQL that stores the result of `sql`, for a day at most."""
    expires = "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)"
    return f"CREATE TABLE `{name}` OPTIONS (expiration_timestamp = {expires}) AS\n{sql}"


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turns what BigQuery refuses into an InputError."""
    from google.api_core import exceptions

    try:
        yield
    except exceptions.NotFound as error:
        found, remedy = error.message, "Check project, dataset, table and location."
        raise InputError(where, found, "tables that exist", remedy) from error
    except exceptions.Forbidden as error:
        found, remedy = error.message, "Grant BigQuery Job User, Data Viewer and Read Session User."
        raise InputError(where, found, "permission to read", remedy) from error
    except exceptions.BadRequest as error:
        remedy = "Check the columns of both tables."
        raise InputError(where, error.message, "a query that BigQuery accepts", remedy) from error
