"""Every file of a log has types of its own: what is read as one, and what is refused. Expected values are by hand."""

import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.errors import InputError
from tests.components.data_extractor import files
from tests.components.data_extractor.files import DAY, START

NAN = math.nan
TEXT_LIST = pa.list_(pa.string())
EXTRAS: dict[Any, dict[str, str]] = {
    "purchases": {"tags": "list<string>", "opened": "int64", "weight": "float"},
    "products": {},
}


def decimals(*values: str | None, scale: int = 2) -> pa.Array:
    return pa.array([None if value is None else Decimal(value) for value in values], pa.decimal128(20, scale))


# A column of two days, what is read of them, and what is said; "" where the types are one.
READ: list[tuple[str, tuple[Any, Any], list[Any], str]] = [
    # pandas makes floats of whole numbers where one is missing.
    ("cust_person_id", (["17850", "3"], [17850.0, NAN]), ["17850", "3", "17850", None], "float (DOUBLE) in F as string"),
    ("cust_person_id", (["17850", "3"], [17850, 4]), ["17850", "3", "17850", "4"], "int64 in F as string"),
    ("cust_person_id", (["7", "x"], pa.array([7, 8], pa.uint8())), ["7", "x", "7", "8"], "int64 (UTINYINT) in F as"),
    ("cust_person_id", (["7", "x"], pa.array([2**63, 8], pa.uint64())[1:2]), ["7", "x", "8"], "UBIGINT in F as string"),
    ("cust_person_id", (["7", "x"], [2.0**53 - 1, -3.0]), ["7", "x", "9007199254740991", "-3"], "float (DOUBLE) in F"),
    ("cust_person_id", (["7", "x"], decimals("7", None, scale=0)), ["7", "x", "7", None], "float (DECIMAL(20,0)) in F"),
    ("cust_person_id", (["x", "y"], [b"\xc3\xbc", None]), ["x", "y", "ü", None], "BLOB in F as string"),
    ("city", (["x", "y"], pa.nulls(2)), ["x", "y", None, None], "null in F as string"),
    ("city", (["x", "y"], [NAN, NAN]), ["x", "y", None, None], "float (DOUBLE) in F as string"),
    ("city", (["x", "y"], pa.array(["z", "x"]).dictionary_encode()), ["x", "y", "z", "x"], ""),
    ("city", (["x", "y"], pa.array(["z", "x"], pa.large_string())), ["x", "y", "z", "x"], ""),
    ("city", (["x", "y"], pa.array(["z", "x"], pa.string_view())), ["x", "y", "z", "x"], ""),
    ("product_id", (pa.array([1, 2], pa.int32()), [3, 2**40]), [1, 2, 3, 2**40], "int64 (INTEGER) in F as int64"),
    ("product_id", ([1, 2], [3.0, NAN]), [1, 2, 3, None], "float (DOUBLE) in F as int64"),
    ("product_id", ([1, 2], pa.array([3, 2], pa.uint64())), [1, 2, 3, 2], "UBIGINT in F as int64"),
    ("revenue", ([1, 2], [0.5, 2.25]), [1, 2, 0.5, 2.25], "int64 in F as float (DOUBLE)"),
    ("revenue", ([0.1, 2.0], pa.array([0.5, 4], pa.float32())), [0.1, 2, 0.5, 4], "float (FLOAT) in F as float (DOUBLE)"),
    ("revenue", ([0.5, 2.0], decimals("12.34", None)), [0.5, 2, 12.34, None], "float (DECIMAL(20,2)) in F as float"),
    ("revenue", (decimals("1.5", "2", scale=1), decimals("1.25", "2")), [1.5, 2, 1.25, 2], "float (DECIMAL(20,1)) in F"),
    ("revenue", (decimals("1.5", "2"), decimals("1.25", "2")), list(map(Decimal, ("1.5", "2", "1.25", "2"))), ""),
    ("revenue", ([0.5, 2.0], pa.nulls(2)), [0.5, 2, None, None], "null in F as float"),
    ("tags", ([["a"], []], [[], []]), [["a"], [], [], []], "list<null> in F as list<string>"),
    ("tags", ([["a"], None], pa.array([["b"], []], pa.large_list(pa.large_string()))), [["a"], None, ["b"], []], ""),
    ("opened", ([5, 6], [7.0, 8.0]), [5, 6, 7, 8], "float (DOUBLE) in F as int64"),
    ("weight", ([1, 2], [0.5, 1.5]), [1, 2, 0.5, 1.5], "int64 in F as float (DOUBLE)"),
]


@pytest.mark.parametrize(("column", "days", "expected", "said"), READ)
@pytest.mark.parametrize("order", [1, -1])
def test_read_without_loss(
    tmp_path: Path, column: str, days: tuple[Any, Any], expected: list[Any], said: str, order: int
) -> None:
    """In whatever order the files come."""
    extras = {name: ([["a"]] if name == "tags" else [1]) for name in EXTRAS["purchases"]}
    tables = []
    for number, values in enumerate(days):
        rows = len(values)
        tables.append(files.day(number, rows, **{name: value * rows for name, value in extras.items()} | {column: values}))
    log = files.write(tmp_path, *tables[::order])
    read, conversions = files.read(log, EXTRAS)
    assert read[column] == expected
    assert [type(value) for value in read[column]] == [type(value) if value is None else type(value) for value in read[column]]
    assert bool(conversions) is bool(said)
    for line in conversions:
        place = re.search(r"in (\S+/log/day-\d.parquet) read as", line)
        assert place
        assert line.replace(place[1], "F").replace("read as", "as").startswith(f"purchases, column {column}: {said}")
