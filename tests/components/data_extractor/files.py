"""Purchase logs in several Parquet files, whose columns a test may choose; the tables as the queries see them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.data_extractor import checks
from components.data_extractor.parquet import ParquetSource
from components.data_extractor.sources import Table

NO_EXTRAS: dict[Table, dict[str, str]] = {"purchases": {}, "products": {}}
START = 1_700_000_000
DAY = 86_400
TIME = pa.timestamp("us", "UTC")


def day(number: int, rows: int = 2, **columns: Any) -> pa.Table:
    """A day's purchases, a second apart; columns given replace its own, None leaves one out."""
    own = {
        "cust_person_id": [f"c{i}" for i in range(rows)],
        "product_id": pa.array(range(1, rows + 1), pa.int64()),
        "revenue": pa.array([1.5 + i for i in range(rows)], pa.float64()),
        "city": ["Ulm"] * rows,
        "timestamp": pa.array([(START + number * DAY + i) * 1_000_000 for i in range(rows)], TIME),
    }
    return pa.table({name: column for name, column in (own | columns).items() if column is not None})


def products(**columns: Any) -> pa.Table:
    """Products 1 to 3."""
    own = {"product_id": [1, 2, 3], "art_name": list("xyz"), "stratbuy_domain_desc": list("aab")}
    return pa.table(own | {"mge_main_cat_desc": list("sst")} | columns)


def write(folder: Path, *log: pa.Table, described: pa.Table | None = None) -> tuple[str, str]:
    """Writes a file for every day, day-0.parquet and so on; returns the paths of purchases, a glob, and of products."""
    (folder / "log").mkdir(parents=True, exist_ok=True)
    for number, table in enumerate(log):
        pq.write_table(table, folder / "log" / f"day-{number}.parquet")
    pq.write_table(products() if described is None else described, folder / "products.parquet")
    return str(folder / "log" / "*.parquet"), str(folder / "products.parquet")


def read(log: tuple[str, str], extras: dict[Table, dict[str, str]] = NO_EXTRAS) -> tuple[dict[str, list], list[str]]:
    """The purchases as the queries read them, by time, column by column; and what was said of conversions."""
    described: dict[Table, str] = {"purchases": f"purchases {log[0]}", "products": f"products {log[1]}"}
    with ParquetSource(*log) as source:
        conversions = checks.check_tables(source, described, extras)
        rows = source.rows("SELECT * FROM {purchases} ORDER BY `timestamp`", {})
    return {name: [row[name] for row in rows] for name in rows[0]}, conversions
