"""An extraction of 20 million purchases on Dataflow, on paper: measured speed times assumptions, no run."""

import math

from rich.table import Table

from pipelines import prices

ROWS = 20_000_000
MACHINE, CORES, MEMORY_GIB, DISK_GIB = "n2-standard-4", 4, 16, 25
MAX_WORKERS = 4
CORE_SHARE = 0.5  # of the measured speed of one core here: a virtual CPU is half a core
START_MINUTES = 4.0  # machines, image pull, and taking them down again
QUERY_MINUTES = 2.0  # both BigQuery statements, the report's queries, the read session
ROW_BYTES = 100  # of the purchase log's five columns in BigQuery
RESULT_BYTES = 250  # of a finished row, read over the Storage Read API


def paper(rows_per_s: float) -> Table:
    """Minutes and cost by number of workers.

    Args:
        rows_per_s: Of one core here, with query and report: more than what a worker has to do.
    """
    table = prices.table()
    vcpu, gib, disk = (table["dataflow"][name]["usd"] for name in ("vcpu", "memory_gib", "disk_gib"))
    query, read = (table["bigquery"][name]["usd"] for name in ("query_tib", "read_tib"))
    shown = Table(
        title=f"On paper, not run: {ROWS / 1e6:.0f} million purchases on Dataflow",
        caption=f"{MACHINE}, {CORE_SHARE:.0%} of the speed measured here per vCPU, {START_MINUTES:g} minutes to start "
        f"and stop, {QUERY_MINUTES:g} minutes in BigQuery, list prices from memory (pipelines/prices.yaml)",
    )
    for column in ("workers", "minutes", "of them writing", "Dataflow $", "BigQuery $"):
        shown.add_column(column, justify="right")
    for workers in (2**i for i in range(int(math.log2(MAX_WORKERS)) + 1)):
        writing = ROWS / (rows_per_s * CORE_SHARE * CORES * workers) / 60
        machine_hours = workers * (writing + START_MINUTES) / 60
        hourly = CORES * vcpu + MEMORY_GIB * gib + DISK_GIB * disk
        # The log is read by the first statement, its judged copy and the finished rows by what follows.
        queried = ROWS * (2 * ROW_BYTES + RESULT_BYTES) / 2**40
        bigquery = queried * query + ROWS * RESULT_BYTES / 2**40 * read
        minutes = writing + START_MINUTES + QUERY_MINUTES
        shown.add_row(
            str(workers), f"{minutes:.1f}", f"{writing:.1f}", f"{machine_hours * hourly:.2f}", f"{bigquery:.2f}"
        )
    return shown
