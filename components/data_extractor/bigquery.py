"""Purchases and products in BigQuery: queries into temporary tables, read over the Storage Read API as Arrow.

Beam's own ReadFromBigQuery cannot be pointed at another endpoint and makes a dataset of its own; the two public
clients can be, and need only a dataset that exists.
"""

import contextlib
import re
import sys
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.common.errors import InputError
from components.data_extractor import bigquery_read
from components.data_extractor.bigquery_read import BigQueryStream, Endpoint, explained, retry
from components.data_extractor.sources import (
    ACCEPTED,
    REQUIRED,
    STEPS,
    TABLE,
    Selected,
    Source,
    Step,
    Table,
    with_names,
)

if TYPE_CHECKING:
    from google.cloud import bigquery

MAX_STREAMS = 64
LABEL_KEY = re.compile(r"[^\W\d_][\w-]{0,62}")
LABEL_VALUE = re.compile(r"[\w-]{0,63}")
MAX_LABELS = 64
TYPES = {
    "STRING": "string",
    **dict.fromkeys(("INTEGER", "INT64"), "int64"),
    **dict.fromkeys(("FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"), "float"),
    **dict.fromkeys(("TIMESTAMP", "DATETIME"), "timestamp"),
}
PARAMETER_TYPES = {str: "STRING", int: "INT64", float: "FLOAT64"}


class BigQuerySource(Source):
    """Both tables in BigQuery.

    Args:
        purchases: project.dataset.table.
        products: project.dataset.table.
        project: The project that pays; by default that of the purchases.
        temp_dataset: project.dataset, or a dataset of `project`, for the queries' results. The tables in it are
            deleted at the end, and expire after a day should this process be killed.
        location: Where the datasets are, such as europe-west3; by default BigQuery finds out.
        max_bytes_billed: A query that would read more bytes is refused; 0 sets no limit.
        labels: What every job is labelled with, for the bill.

    Raises:
        InputError: no dataset given, a name that is not one, or a label that BigQuery would refuse.
    """

    def __init__(
        self,
        purchases: str,
        products: str,
        *,
        project: str = "",
        temp_dataset: str = "",
        location: str = "",
        max_bytes_billed: int = 0,
        labels: Mapping[str, str] | None = None,
    ):
        self.names: dict[str, str] = {"purchases": purchases, "products": products}
        self.endpoint = Endpoint(project or purchases.split(".")[0])
        dataset = temp_dataset if "." in temp_dataset else f"{self.endpoint.project}.{temp_dataset}"
        run = uuid.uuid4().hex
        self.names |= {step: f"{dataset}.metro_recs_{run}_{step}" for step in STEPS}
        if not TABLE.fullmatch(self.names["examples"]):
            remedy = "Name a dataset in which a table may be created for the time of the run."
            raise InputError("temp_dataset", repr(temp_dataset), "project.dataset", remedy)
        self.location, self.max_bytes_billed, self.labels = location, max_bytes_billed, dict(labels or {})
        check_labels(self.labels)
        self.stored: list[str] = []

    def __enter__(self) -> "BigQuerySource":
        with explained(f"project {self.endpoint.project}"):
            self.client = self.endpoint.client(self.location)
        return self

    def __exit__(self, *_: object) -> None:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        with contextlib.closing(self.client):
            for table in self.stored:
                try:
                    self.client.delete_table(table, not_found_ok=True, retry=retry())
                except (GoogleAPIError, GoogleAuthError, OSError) as error:
                    # No reason to fail: what was extracted is whole.
                    print(f"{table}: not deleted, expires within a day ({error})", file=sys.stderr)

    def select(self, table: Table, wanted: Mapping[str, str]) -> Selected:
        faults, found = [], self.columns(table)
        for name, kind in wanted.items():
            where = f"{table} {self.names[table]}, column {name}"
            if name not in found:
                remedy = "Rename or add it in a view, and pass the view."
                if name not in REQUIRED[table]:
                    remedy = f"Rename or add it in a view, or remove {name} from the feature config."
                expected = f"a column {name} of type {kind}"
                faults.append(InputError(where, f"only {', '.join(found)}", expected, remedy))
            elif found[name] not in ACCEPTED.get(kind, (kind,)):
                remedy = f"Cast it in a view, {_as_time(name, found[name], kind)}and pass the view."
                faults.append(InputError(where, f"type {found[name]}", kind, remedy))
        return Selected(faults, [])

    def remedy(self, table: Table, change: str, sql: str = "") -> str:
        example = f": {with_names(sql, self.names)}" if sql else ""
        return f"Pass a view {change} as {table}{example}."

    def place(self, first: int, last: int) -> str:
        return ""

    def columns(self, table: Table) -> dict[str, str]:
        """Column name to its type as `Source.select` names it, or BigQuery's name of another."""
        with explained(f"{table} {self.names[table]}"):
            fields = self.client.get_table(self.names[table], retry=retry()).schema
        return {field.name: column_type(field.field_type, field.mode) for field in fields}

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        with self._query_explained():
            return [dict(row.items()) for row in _result(self._query(with_names(sql, self.names), parameters))]

    def materialise(self, name: Step, sql: str, parameters: Mapping[str, Any]) -> None:
        """Says how much the query reads, then stores its result.

        Raises:
            InputError: it would read more than `max_bytes_billed`, or BigQuery refuses it.
        """
        statement = create_table(self.names[name], with_names(sql, self.names))
        with self._query_explained():
            # The very statement, so that a missing dataset or permission shows before anything is billed.
            dry = self._query(statement, parameters, dry_run=True, use_query_cache=False)
        estimate = dry.total_bytes_processed or 0
        print(f"BigQuery: query {name} reads {size(estimate)}", file=sys.stderr)
        if 0 < self.max_bytes_billed < estimate:
            found = f"query {name}, which reads {size(estimate)} ({estimate:,} bytes)"
            expected = f"at most {size(self.max_bytes_billed)} ({self.max_bytes_billed:,} bytes)"
            remedy = "Raise max_bytes_billed, or pass a view of fewer partitions as purchases."
            raise InputError("max_bytes_billed", found, expected, remedy)
        with self._query_explained():
            self.stored.append(self.names[name])
            _result(self._query(statement, parameters))

    def streams(self, columns: Sequence[str]) -> list[BigQueryStream]:
        from google.cloud.bigquery_storage_v1 import types

        project, dataset, table = self.names["examples"].split(".")
        options = types.ReadSession.TableReadOptions(selected_fields=columns, row_restriction="dropped IS NULL")
        with explained(f"temporary table {self.names['examples']}"), self.endpoint.reader() as reader:
            session = reader.create_read_session(
                parent=f"projects/{self.endpoint.project}",
                read_session=types.ReadSession(
                    table=f"projects/{project}/datasets/{dataset}/tables/{table}",
                    data_format=types.DataFormat.ARROW,
                    read_options=options,
                ),
                max_stream_count=MAX_STREAMS,
                retry=retry(),
                timeout=bigquery_read.PATIENCE,
            )
        arrow_schema = session.arrow_schema.serialized_schema
        return [BigQueryStream(self.endpoint, stream.name, arrow_schema) for stream in session.streams]

    def _query(self, sql: str, parameters: Mapping[str, Any], **settings: Any) -> "bigquery.QueryJob":
        from google.cloud import bigquery

        typed = [bigquery.ScalarQueryParameter(k, PARAMETER_TYPES[type(v)], v) for k, v in parameters.items()]
        config = bigquery.QueryJobConfig(query_parameters=typed, labels=self.labels, **settings)
        if self.max_bytes_billed and not config.dry_run:
            config.maximum_bytes_billed = self.max_bytes_billed
        return self.client.query(sql, job_config=config, retry=retry(), job_retry=None)

    def _query_explained(self) -> contextlib.AbstractContextManager[None]:
        dataset = self.names["examples"].rpartition(".")[0]
        return explained(f"purchases {self.names['purchases']}, products {self.names['products']}, dataset {dataset}")


def create_table(name: str, sql: str) -> str:
    """SQL that stores the result of `sql`, for a day at most."""
    expires = "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)"
    return f"CREATE OR REPLACE TABLE `{name}` OPTIONS (expiration_timestamp = {expires}) AS\n{sql}"


def column_type(field_type: str, mode: str) -> str:
    """A column's type as `Source.columns` names it."""
    kind = TYPES.get(field_type, field_type)
    if mode != "REPEATED":
        return kind
    return "list<string>" if kind == "string" else f"ARRAY<{field_type}>"


def _as_time(name: str, found: str, kind: str) -> str:
    """What a number may be as a time."""
    if (found, kind) != ("int64", "timestamp"):
        return ""
    units = " or ".join(f"TIMESTAMP_{unit}({name})" for unit in ("SECONDS", "MILLIS", "MICROS"))
    return f"as {units}, whichever it is, "


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises InputError at a label that BigQuery would refuse: https://cloud.google.com/bigquery/docs/labels-intro."""
    if len(labels) > MAX_LABELS:
        raise InputError("labels", str(len(labels)), f"at most {MAX_LABELS}", "Leave some out.")
    for key, value in labels.items():
        allowed = "at most 63 lowercase letters, digits, _ and -"
        if not isinstance(key, str) or not LABEL_KEY.fullmatch(key) or key != key.lower():
            raise InputError("labels", f"the key {key!r}", f"{allowed}, a letter first", "Choose another key.")
        if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value) or value != value.lower():
            raise InputError(f"labels, key {key}", repr(value), allowed, "Choose another value.")


def size(count: int) -> str:
    """A number of bytes in words, such as 1.5 GiB."""
    amount, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:,.{0 if units[0] == 'bytes' else 1}f} {units[0]}"


def _result(job: "bigquery.QueryJob") -> Any:
    from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY

    return job.result(retry=retry(), job_retry=DEFAULT_JOB_RETRY.with_timeout(bigquery_read.PATIENCE))
