"""The extraction once more, row by row in plain Python."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow.parquet as pq

Row = dict[str, Any]


def read_log(purchases: str, products: str) -> tuple[list[Row], dict[int, Row]]:
    rows = pq.read_table(purchases).to_pylist()
    for row in rows:
        row["timestamp"] = int(row["timestamp"].replace(microsecond=0).timestamp())
    return rows, {row.pop("product_id"): row for row in pq.read_table(products).to_pylist()}


def catalogue(rows: list[Row], size: int, min_purchases: int) -> list[int]:
    """Product ids, most customers first."""
    purchases = Counter(row["product_id"] for row in rows)
    customers = defaultdict(set)
    for row in rows:
        customers[row["product_id"]].add(row["cust_person_id"])
    kept = [product for product in customers if purchases[product] >= min_purchases]
    ordered = sorted(kept, key=lambda product: (-len(customers[product]), product))
    return ordered[: size or None]


def start(rows: list[Row], share: float) -> int:
    """The smallest time t with more than share * rows rows at or before t."""
    times = np.sort([row["timestamp"] for row in rows])
    return int(times[np.searchsorted(times, times, "right") > share * len(rows)][0])


def before_test(rows: list[Row], split: str, share: float, size: int, min_purchases: int) -> tuple[list[Row], int]:
    """The rows that a catalogue is chosen from, and the time at which they end."""
    if split == "random" or (size == 0 and min_purchases == 1):
        return rows, 0
    end = start(rows, share)
    first = set(catalogue([row for row in rows if row["timestamp"] < end], size, min_purchases))
    end = min(end, start([row for row in rows if row["product_id"] in first], share))
    return [row for row in rows if row["timestamp"] < end], end


def splits(
    rows: list[Row], split: str, shares: tuple[float, float], size: int = 0, min_purchases: int = 1
) -> dict[str, list[Row]]:
    bounds = shares[0], sum(shares)
    known, end = before_test(rows, split, bounds[1], size, min_purchases)
    chosen = set(catalogue(known, size, min_purchases))
    rows = [row for row in rows if row["product_id"] in chosen]
    starts = [start(rows, bounds[0]), max(start(rows, bounds[1]), end)]

    def place(row: Row) -> str:
        if split == "temporal":
            part = sum(row["timestamp"] >= start for start in starts)
        else:
            text = f"{row['cust_person_id']}|{row['product_id']}|{row['timestamp']}"
            number = int(hashlib.md5(text.encode()).hexdigest(), 16) / 16**32  # noqa: S324
            part = sum(number >= bound for bound in bounds)
        return ("train", "validation", "test")[part]

    out: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        out[place(row)].append(row)
    return out


def examples(
    parts: dict[str, list[Row]], products: dict[int, Row], revenue_as_of: str = "training"
) -> dict[str, list[tuple]]:
    """The Examples of each split, sorted; columns as `comparable` orders them."""

    def spent(row: Row) -> float:
        paid = [
            Decimal(repr(other["revenue"]))
            for other in by_customer[row["cust_person_id"]]
            if revenue_as_of == "training" or other["timestamp"] < row["timestamp"]
        ]
        return float(np.float32(float(sum(paid, Decimal(0)))))

    by_customer: dict[str, list[Row]] = defaultdict(list)
    for row in parts["train"]:
        by_customer[row["cust_person_id"]].append(row)
    return {
        split: sorted(
            (
                row["cust_person_id"],
                row["product_id"],
                spent(row),
                row["city"],
                row["timestamp"],
                *(
                    products[row["product_id"]][name]
                    for name in ("art_name", "stratbuy_domain_desc", "mge_main_cat_desc")
                ),
            )
            for row in rows
        )
        for split, rows in parts.items()
    }


def comparable(read: dict[str, np.ndarray], columns: Iterable[str]) -> list[tuple]:
    """What components.common.examples.read gives, as sorted tuples."""
    values = [[v.decode() if isinstance(v, bytes) else v.item() for v in read[name]] for name in columns]
    return sorted(zip(*values, strict=True))
