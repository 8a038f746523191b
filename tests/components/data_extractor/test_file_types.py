"""Every file of a log has types of its own: what is read as one, and what is refused. Expected values are by hand."""

import math
import re
from datetime import UTC, date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.errors import InputError
from tests.components.data_extractor import files
from tests.components.data_extractor.files import DAY, START, day

NAN = math.nan
EXTRAS: dict[Any, dict[str, str]] = {
    "purchases": {"tags": "list<string>", "opened": "int64", "weight": "float"},
    "products": {},
}
OF_EXTRAS: dict[str, Any] = {"tags": [["a"]], "opened": [1], "weight": [1.0]}
MEND = re.compile(r'duckdb\.sql\("""(.*?)"""\)\.write_parquet\("mended\.parquet"\)')


def decimals(*values: str | None, scale: int = 2) -> pa.Array:
    return pa.array([None if value is None else Decimal(value) for value in values], pa.decimal128(20, scale))


def days(column: str, *values: Any) -> list[pa.Table]:
    """A table for each of several days, that have other values of one column and the columns of EXTRAS."""
    return [
        day(number, len(of_day), **{name: value * len(of_day) for name, value in OF_EXTRAS.items()} | {column: of_day})
        for number, of_day in enumerate(values)
    ]


def refused(log: tuple[str, str], extras: Any = files.NO_EXTRAS) -> str:
    with pytest.raises(InputError) as raised:
        files.read(log, extras)
    return str(raised.value)


# A column of two days, what is read of it, and what is said of the file F; "" where the types are one.
READ: list[tuple[str, tuple[Any, Any], list[Any], str]] = [
    # pandas makes floats of whole numbers where one is missing.
    (
        "cust_person_id",
        (["17850", "3"], [17850.0, NAN]),
        ["17850", "3", "17850", None],
        "float (DOUBLE) in F as string",
    ),
    ("cust_person_id", (["17850", "3"], [17850, 4]), ["17850", "3", "17850", "4"], "int64 in F as string"),
    ("cust_person_id", (["7", "x"], pa.array([7, 8], pa.uint8())), ["7", "x", "7", "8"], "int64 (UTINYINT) in F as"),
    ("cust_person_id", (["7", "x"], pa.array([8], pa.uint64())), ["7", "x", "8"], "UBIGINT in F as string"),
    ("cust_person_id", (["7", "x"], [2.0**53 - 1, -3.0]), ["7", "x", "9007199254740991", "-3"], "float (DOUBLE) in F"),
    ("cust_person_id", (["7", "x"], decimals("7", None, scale=0)), ["7", "x", "7", None], "float (DECIMAL(20,0)) in F"),
    ("cust_person_id", (["x", "y"], [b"\xc3\xbc", None]), ["x", "y", "ü", None], "BLOB in F as string"),
    ("city", (["x", "y"], pa.nulls(2)), ["x", "y", None, None], "null in F as string"),
    ("city", (["x", "y"], [NAN, NAN]), ["x", "y", None, None], "float (DOUBLE) in F as string"),
    ("city", (["x", "y"], pa.array(["z", "x"]).dictionary_encode()), ["x", "y", "z", "x"], ""),
    ("city", (["x", "y"], pa.array(["z", "x"], pa.large_string())), ["x", "y", "z", "x"], ""),
    ("city", (["x", "y"], pa.array(["z", "x"], pa.string_view())), ["x", "y", "z", "x"], ""),
    ("city", (["00123", "y"], ["0", "17850.0"]), ["00123", "y", "0", "17850.0"], ""),
    ("product_id", (pa.array([1, 2], pa.int32()), [3, 2**40]), [1, 2, 3, 2**40], "int64 (INTEGER) in F as int64"),
    ("product_id", ([1, 2], [3.0, NAN]), [1, 2, 3, None], "float (DOUBLE) in F as int64"),
    ("product_id", ([1, 2], pa.array([3, 2], pa.uint64())), [1, 2, 3, 2], "UBIGINT in F as int64"),
    ("revenue", ([1, 2], [0.5, 2.25]), [1, 2, 0.5, 2.25], "int64 in F as float (DOUBLE)"),
    (
        "revenue",
        ([0.1, 2.0], pa.array([0.5, 4], pa.float32())),
        [0.1, 2, 0.5, 4],
        "float (FLOAT) in F as float (DOUBLE)",
    ),
    ("revenue", ([0.5, 2.0], decimals("12.34", None)), [0.5, 2, 12.34, None], "float (DECIMAL(20,2)) in F as float"),
    ("revenue", ([0.5, 2.0], decimals("999999999999.99", "-0.01")), [0.5, 2, 999999999999.99, -0.01], "float (DECIMAL"),
    ("revenue", (decimals("1.5", "2"), decimals("1.25", "2")), [1.5, 2, 1.25, 2], ""),
    ("revenue", ([0.5, 2.0], pa.nulls(2)), [0.5, 2, None, None], "null in F as float"),
    ("tags", ([["a"], []], [[], []]), [["a"], [], [], []], "list<null> in F as list<string>"),
    ("tags", ([["a"], None], pa.array([["b"], []], pa.large_list(pa.large_string()))), [["a"], None, ["b"], []], ""),
    ("opened", ([5, 6], [7.0, 8.0]), [5, 6, 7, 8], "float (DOUBLE) in F as int64"),
    ("weight", ([1, 2], [0.5, 1.5]), [1, 2, 0.5, 1.5], "int64 in F as float (DOUBLE)"),
]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("column", "values", "expected", "said"), READ)
def test_read_without_loss(
    tmp_path: Path, column: str, values: tuple[Any, Any], expected: list[Any], said: str, order: int
) -> None:
    read, conversions = files.read(files.write(tmp_path, *days(column, *values)[::order]), EXTRAS)
    assert read[column] == expected
    assert len(conversions) == bool(said)
    for line in conversions:
        place = re.search(r"in (\S+/log/day-\d.parquet) read as", line)
        assert place
        assert line.replace(place[1], "F").replace("read as", "as").startswith(f"purchases, column {column}: {said}")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_of_every_unit_beside_microseconds_in_utc(tmp_path: Path, unit: Any, zone: str | None) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    other = pa.array([(START + DAY + i) * per_second for i in range(2)], pa.timestamp(unit, zone))
    read, conversions = files.read(files.write(tmp_path, day(0), day(1, timestamp=other)))
    assert [moment.timestamp() for moment in read["timestamp"]] == [START, START + 1, START + DAY, START + DAY + 1]
    assert len(conversions) == (zone is None)
    pq.write_table(day(1, timestamp=other), tmp_path / "log" / "day-1.parquet", use_deprecated_int96_timestamps=True)
    assert files.read((str(tmp_path / "log" / "*.parquet"), str(tmp_path / "products.parquet")))[0] == read


def test_two_days_as_pandas_writes_them(tmp_path: Path) -> None:
    """Whole prices in the one, and ids beside missing ones in the other; pandas reads what they were."""
    random = np.random.default_rng(0)
    frames = []
    for number in range(2):
        ids = 17850 + random.integers(0, 50, 600)
        frame = day(number, 600, cust_person_id=[str(i) for i in ids], revenue=random.integers(1, 9, 600)).to_pandas()
        if number:
            frame["cust_person_id"] = pd.Series(ids).where(frame.index >= 20)
            frame["revenue"] = np.round(random.gamma(2, 2, 600) + 0.29, 2)
        frames.append(frame)
    log = files.write(tmp_path, day(0), day(1))
    for number, frame in enumerate(frames):
        frame.to_parquet(tmp_path / "log" / f"day-{number}.parquet")
    read, conversions = files.read(log)
    ids = pd.concat([frames[0]["cust_person_id"].astype("Int64"), frames[1]["cust_person_id"].astype("Int64")])
    assert read["cust_person_id"] == [None if pd.isna(i) else str(i) for i in ids]
    assert read["revenue"] == [*frames[0]["revenue"].astype(float), *frames[1]["revenue"]]
    assert len(conversions) == 2


# Days, and what the one error about them must contain; F is the file of the last day, G that of the first.
REFUSED: dict[str, tuple[list[pa.Table], list[str]]] = {
    "5.6 as a product": (
        [day(0), day(1, product_id=[5.6, 2.0])],
        ["file F, column product_id: found type float (DOUBLE) with 1 value such as 5.6", "expected int64 as in G"],
    ),
    "infinity as a product": ([day(0), day(1, product_id=[math.inf, 2.0])], ["with 1 value such as inf"]),
    "a float id that is several": (
        [day(0), day(1, cust_person_id=[2.0**53, 1.0])],
        ["column cust_person_id: found type float (DOUBLE) with 1 value such as 9007199254740992.0"],
    ),
    "a float32 id that is several": (
        [day(0), day(1, cust_person_id=pa.array([2.0**24, 1.0], pa.float32()))],
        ["found type float (FLOAT) with 1 value such as 16777216.0"],
    ),
    "half a customer": ([day(0), day(1, cust_person_id=[1.5, NAN])], ["with 1 value such as 1.5, not a whole number"]),
    "leading zeros that numbers have lost": (
        [day(0, cust_person_id=[7, 123]), day(1, cust_person_id=["00123", "x"])],
        ["file F, column cust_person_id: found type string with 1 value such as '00123'", "as in G, where it is int64"],
    ),
    "texts of floats beside numbers": (
        [day(0, cust_person_id=[7, 123]), day(1, cust_person_id=["17850.0", "x"])],
        ["found type string with 1 value such as '17850.0'"],
    ),
    "numbers in every file": (
        [day(0, cust_person_id=[1, 2]), day(1, cust_person_id=[1.0, NAN])],
        [
            "file G, column cust_person_id: found type int64, such as 1, expected string",
            "file F, column cust_person_id: found type float (DOUBLE), such as 1.0, expected string",
        ],
    ),
    "a product as text": (
        [day(0), day(1, product_id=["1", "002"])],
        ["column product_id: found type string, such as '", "expected int64 as in G"],
    ),
    "a product beyond 64 bits": (
        [day(0), day(1, product_id=pa.array([2**63, 1], pa.uint64()))],
        ["column product_id: found type UBIGINT with 1 value such as 9223372036854775808"],
    ),
    "a decimal comma": (
        [day(0), day(1, revenue=["12", "1.234,50"])],
        ["file F, column revenue: found type string, such as '1.234,50', with a decimal comma, expected float as in G"],
    ),
    "commas between thousands": (
        [day(0), day(1, revenue=["7.5", "1,234.50"])],
        ["found type string, such as '1,234.50', with commas between the thousands"],
    ),
    "commas of two sorts": (
        [day(0), day(1, revenue=["7.5", "1,5"])],
        ["found type string, such as '1,5', with commas that may be decimal ones or stand between thousands"],
    ),
    "commas of either sort": ([day(0), day(1, revenue=["7", "1,234"])], ["such as '1,234', with commas that may be"]),
    "prices as text": ([day(0, revenue=["7", "2.5"])], ["column revenue: found type string, such as '", "float"]),
    "prices that are none": ([day(0, revenue=["7", "EUR 3"])], ["such as 'EUR 3', expected float"]),
    "truth as a price": ([day(0), day(1, revenue=[True, False])], ["column revenue: found type BOOLEAN"]),
    "a price that no float holds": (
        [day(0), day(1, revenue=[2**60, 1])],
        ["found type int64 with 1 value such as 1152921504606846976, beyond 2^53"],
    ),
    "a decimal that no float holds": (
        [day(0), day(1, revenue=decimals("123456789012345678.91", "1"))],
        ["found type float (DECIMAL(20,2)) with 1 value such as 123456789012345678.91, of which a float does not"],
    ),
    "days without a time": (
        [day(0), day(1, timestamp=[date(2024, 1, 31)] * 2)],
        ["file F, column timestamp: found type DATE, which has no time of day, expected timestamp as in G"],
    ),
    "times as text": (
        [day(0), day(1, timestamp=["2024-01-31", "2024-01-31 10:00:00"])],
        ["column timestamp: found type string, such as '2024-01-31"],
    ),
    "seconds": (
        [day(0, timestamp=[START, START + 1])],
        ["column timestamp: found type int64, from 1700000000 to 1700000001, as seconds since 1970 would be"],
    ),
    "milliseconds": ([day(0, timestamp=[START * 10**3] * 2)], ["as milliseconds since 1970 would be"]),
    "microseconds": ([day(0, timestamp=[START * 10**6] * 2)], ["as microseconds since 1970 would be"]),
    "nanoseconds": ([day(0, timestamp=[START * 10**9] * 2)], ["as nanoseconds since 1970 would be"]),
    "numbers that are no times": ([day(0, timestamp=[1, 2])], ["found type int64, from 1 to 2, expected timestamp"]),
    "a lost column": (
        [day(0), day(1, city=None)],
        ["file F, column city: found only cust_person_id, product_id, revenue, timestamp, expected a column city of"],
    ),
    "another case": ([day(0), day(1, city=None, City=["a", "b"])], ["Pass files in which City is called city"]),
    "twins": ([day(0), day(1, City=["a", "b"])], ["column city: found several of the name: city, City, expected one"]),
    "a list": ([day(0), day(1, city=[["a"], []])], ["column city: found type list<string>, expected string as in G"]),
    "a struct": ([day(0), day(1, city=[{"a": 1}] * 2)], ["column city: found type STRUCT(a BIGINT), expected string"]),
    "bytes that are no text": (
        [day(0), day(1, city=[b"Z\xfc", b"a"])],
        [r"column city: found type BLOB with 1 value such as b'Z\xfc', which is not UTF-8"],
    ),
    "no value in any file": (
        [day(0, city=pa.nulls(2)), day(1, city=pa.nulls(2))],
        ["column city: found type null, a column without a single value, expected string"],
    ),
    "Latin-1": (
        [day(0), day(1, city=pa.array([b"Z\xfcrich", b"x"], pa.binary()).view(pa.string()))],
        [r"file F, column city: found text that is not valid UTF8, such as b'Z\xfcrich' ('Zürich' in Latin-1)"],
    ),
    "times beyond every calendar": (
        [day(0), day(1, timestamp=pa.array([START * 10**9] * 2, pa.timestamp("ms")))],
        ["file F, column timestamp: found times such as 53872825-06-17 22:13:20; divided by 1,000,000"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    tables, expected = REFUSED[name]
    log = files.write(tmp_path, *tables)
    text = refused(log)
    assert f"purchases {tmp_path}/log/" in text
    first, last = (str(tmp_path / "log" / f"day-{number}.parquet") for number in (0, len(tables) - 1))
    text = text.replace(first, "G").replace(last, "F")
    for part in expected:
        assert part in text
    assert "view" not in text


MENDED: dict[str, tuple[str, list[Any]]] = {
    "a decimal comma": ("revenue", [12.0, 1234.5]),
    "commas between thousands": ("revenue", [7.5, 1234.5]),
    "prices as text": ("revenue", [7.0, 2.5]),
    "numbers in every file": ("cust_person_id", ["1", "2", "1", None]),
    "a product as text": ("product_id", [1, 2]),
    "another case": ("city", ["a", "b"]),
    "seconds": ("timestamp", [START, START + 1]),
    **{unit: ("timestamp", [START, START]) for unit in ("milliseconds", "microseconds", "nanoseconds")},
}


@pytest.mark.parametrize("name", MENDED)
def test_the_remedy_mends_it(tmp_path: Path, name: str) -> None:
    """The line of Python in the error, run as it is there, file for file."""
    tables, _ = REFUSED[name]
    log = files.write(tmp_path, *tables)
    for query in MEND.findall(refused(log)):
        file = re.search(r"FROM '(.*)'", query)
        assert file
        duckdb.sql(query).write_parquet(str(tmp_path / "mended.parquet"))
        (tmp_path / "mended.parquet").replace(file[1])
    column, expected = MENDED[name]
    read = files.read(log)[0][column]
    if column == "timestamp":  # without a zone, and so in UTC
        read = [int(moment.replace(tzinfo=UTC).timestamp()) for moment in read]
    assert read[-len(expected) :] == expected


def test_all_faults_at_once(tmp_path: Path) -> None:
    tables = [day(0, city=[1, 2], revenue=["1,5", "2"]), day(1, cust_person_id=None, revenue=[True, True])]
    log = files.write(tmp_path, *tables, day(2), described=files.products(product_id=[-1, 2, 2]))
    (tmp_path / "log" / "day-3.parquet").write_bytes(b"")
    text = refused(log)
    assert text.startswith("purchases and products: found 6 faults, expected none. Mend all of them:\n- ")
    for part in (
        "day-3.parquet: found a damaged file (Parquet file size is 0 bytes)",
        "day-1.parquet, column cust_person_id: found only",
        "day-0.parquet, column revenue: found type string, such as '1,5', with a decimal comma",
        "day-1.parquet, column revenue: found type BOOLEAN",
        "products.parquet, field product_id: found the id -1",
        "products.parquet, field product_id: found 1 row that repeat an id, such as 2",
    ):
        assert part in text
    # day-0's cities are numbers beside texts, which is no fault: they are read as texts.
    assert "column city" not in text


def test_many_faults_are_cut(tmp_path: Path) -> None:
    files.write(tmp_path, day(0))
    for number in range(30):
        (tmp_path / "log" / f"damaged-{number:02d}.parquet").write_bytes(b"PAR1")
    text = refused((str(tmp_path / "log" / "*.parquet"), str(tmp_path / "products.parquet")))
    assert text.count("\n- ") == 21
    assert text.endswith("\n- and 10 more")


def test_one_fault_of_many_files_is_one(tmp_path: Path) -> None:
    log = files.write(tmp_path, day(0), *(day(number, revenue=["a", "b"]) for number in range(1, 31)))
    assert "file " + str(tmp_path / "log" / "day-1.parquet") + " and 29 other files, column revenue" in refused(log)


def test_files_without_rows_are_passed_over(tmp_path: Path) -> None:
    log = files.write(tmp_path, day(0), pa.table({"whatever": pa.nulls(0)}), day(2).slice(0, 0))
    read, conversions = files.read(log)
    assert read["city"] == ["Ulm", "Ulm"]
    assert conversions == [f"purchases: passed over {tmp_path}/log/day-1.parquet and 1 other file without rows"]
    assert "found no rows, expected at least one" in refused(files.write(tmp_path / "empty", day(0).slice(0, 0)))


IDS = {
    "text": st.sampled_from(["7", "x", "-7", "0", "007", "7.0", " 7", "+7", "7.5", "1e3", "ü", "", None]),
    "int64": st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([7, None])),
    "float64": st.one_of(st.integers(-(2**54), 2**54).map(float), st.sampled_from([7.0, 7.5, NAN, math.inf, None])),
    "null": st.none(),
}
ARROW = {"text": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "null": pa.null()}
OF_FILES = st.lists(
    st.sampled_from(sorted(IDS)).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(IDS[kind], max_size=3))),
    min_size=1,
    max_size=4,
)


def as_texts(of_files: list[tuple[str, list[Any]]]) -> list[str | None] | None:
    """The customers of several files in plain Python; None where they are no texts without loss."""
    of_files = [(kind, values) for kind, values in of_files if values]
    kinds = {kind for kind, _ in of_files}
    if "text" not in kinds:
        return None
    texts: list[str | None] = []
    for kind, values in of_files:
        for value in values:
            if value is None or value != value:
                texts.append(None)
            elif kind == "text":
                digits = set(value.strip()) <= set("+-.0123456789") and value.strip()
                if (
                    digits
                    and kinds & {"int64", "float64"}
                    and Decimal(value) % 1 == 0
                    and value != str(int(Decimal(value)))
                ):
                    return None
                texts.append(value)
            elif kind == "float64" and (abs(value) >= 2**53 or value != int(value)):
                return None
            else:
                texts.append(str(int(value)))
    return texts


@settings(max_examples=40, deadline=None)
@given(OF_FILES)
def test_whatever_types_ids_have(
    tmp_path_factory: pytest.TempPathFactory, of_files: list[tuple[str, list[Any]]]
) -> None:
    tables = [
        day(number, len(values), cust_person_id=pa.array(values, ARROW[kind]))
        for number, (kind, values) in enumerate(of_files)
    ]
    log = files.write(tmp_path_factory.mktemp("ids"), *tables)
    expected = as_texts(of_files)
    if expected is None:
        with pytest.raises(InputError, match=r"cust_person_id|no rows"):
            files.read(log)
    else:
        assert files.read(log)[0]["cust_person_id"] == expected


def test_other_columns_and_another_order_do_not_matter(tmp_path: Path) -> None:
    table = day(1)
    turned = table.select(table.column_names[::-1]).append_column("mood", [["good", "bad"]])
    log = files.write(tmp_path, day(0, note=[1, 2]), turned, day(2, note=["a", "b"]))
    read, conversions = files.read(log)
    assert list(read) == ["cust_person_id", "product_id", "revenue", "city", "timestamp"]
    assert read["cust_person_id"] == ["c0", "c1"] * 3
    assert not conversions


def test_folders_named_after_columns(tmp_path: Path) -> None:
    """A column that files lack may stand in their path; one that they have never comes from it."""
    places = {"city=M%C3%BCnchen/dt=2024-01-01": "München", "city=__HIVE_DEFAULT_PARTITION__/dt=2024-01-02": None}
    log = files.write(tmp_path, day(0))
    for number, place in enumerate(places, 1):
        folder = tmp_path / "log" / "revenue=7" / place
        folder.mkdir(parents=True)
        pq.write_table(day(number, city=None), folder / "part.parquet")
    read, conversions = files.read((str(tmp_path / "log" / "**" / "*.parquet"), log[1]))
    assert read["city"] == ["Ulm", "Ulm", "München", "München", None, None]
    assert read["revenue"] == [1.5, 2.5] * 3
    assert conversions == [
        f"purchases, column city: from the names of folders, as in {conversions[0].split(' in ')[1]}"
    ]


def test_a_damaged_page_is_named_by_its_file(tmp_path: Path) -> None:
    log = files.write(tmp_path, day(0), day(1, 5000, city=[f"city {i}" for i in range(5000)]))
    path = tmp_path / "log" / "day-1.parquet"
    data = bytearray(path.read_bytes())
    data[200:2200] = bytes(2000)
    path.write_bytes(data)
    text = refused(log)
    assert "a file that DuckDB cannot read" in text
    assert "day-1.parquet" in text
