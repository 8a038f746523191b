"""Times in the wrong unit: seconds taken for milliseconds lie in 1970, milliseconds taken for seconds beyond 9999."""

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.errors import InputError
from components.data_extractor import checks, measure, sources, times
from components.data_extractor.parameters import query_parameters
from components.data_extractor.parquet import ParquetSource
from components.data_extractor.sources import Table
from tests.components.data_extractor import files
from tests.components.data_extractor.files import DAY, START, day


def check(log: tuple[str, str]) -> None:
    """The queries, and the check of the times."""
    described: dict[Table, str] = {"purchases": f"purchases {log[0]}", "products": f"products {log[1]}"}
    with ParquetSource(*log) as source:
        checks.check_tables(source, described, files.NO_EXTRAS)
        source.materialise("judged", sources.query("judged", files.NO_EXTRAS), {})
        parameters = query_parameters("temporal", 0.8, 0.15, 0, 1)
        source.materialise("examples", sources.query("examples", files.NO_EXTRAS), parameters)
        checks.check_times(source, described, measure.counts(source))


SECONDS = [START, START + DAY]
# What pandas makes of numbers in one unit that it was told to be in another, and what the error says.
# Far times are by the calendar's cycle: 400 years have 146,097 days.
MISTAKEN = {
    ("s", "ms"): "2 rows before 1990, from 1970-01-20 16:13:20 to 1970-01-20 16:14:46",
    ("s", "us"): "2 rows before 1990, from 1970-01-01 00:28:20 to 1970-01-01 00:28:20",
    ("s", "ns"): "2 rows before 1990, from 1970-01-01 00:00:01 to 1970-01-01 00:00:01",
    ("ms", "s"): "2 rows later than tomorrow, from 55840-11-08 22:13:20 to 55843-08-05 22:13:20",
    ("us", "ms"): "2 rows later than tomorrow, from 55840-11-08 22:13:20 to 55843-08-05 22:13:20",
    ("ms", "us"): "2 rows before 1990, from 1970-01-20 16:13:20 to 1970-01-20 16:14:46",
}
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@pytest.mark.parametrize(("true", "read"), MISTAKEN)
def test_the_wrong_unit(tmp_path: Path, true: str, read: Any) -> None:
    numbers = [second * PER_SECOND[true] for second in SECONDS]
    wrong = pa.array(numbers, pa.timestamp(read))
    log = files.write(tmp_path, day(0, timestamp=wrong))
    with pytest.raises(InputError) as raised:
        check(log)
    text = str(raised.value)
    assert f"purchases {log[0]}, field timestamp: found {MISTAKEN[true, read]}, such as cust_person_id c" in text
    factor = max(PER_SECOND[true], PER_SECOND[read]) // min(PER_SECOND[true], PER_SECOND[read])
    assert (f"times {factor:,}" if read != "s" and true != "us" else f"divided by {factor:,}") in text
    assert "they would be from 2023-11-1" in text or read == "ns"
    assert "expected purchases from 1990 to tomorrow. Make times of the numbers again, by pandas.to_datetime" in text
    # The remedy, as pandas does it.
    right = pd.to_datetime(pd.Series(numbers), unit=true)
    pq.write_table(day(0, timestamp=pa.array(right)), tmp_path / "log" / "day-0.parquet")
    check(log)


def test_the_day_in_the_wrong_unit_is_named(tmp_path: Path) -> None:
    wrong = pa.array([(START + DAY) * 1000] * 2, pa.timestamp("s"))
    log = files.write(tmp_path, day(0), day(1, timestamp=wrong), day(2), pa.table({"empty": pa.nulls(0)}))
    message = rf"field timestamp: found 2 rows later than tomorrow in {tmp_path}/log/day-1.parquet, from 55843-08-05 "
    with pytest.raises(InputError, match=message):
        check(log)


def test_a_few_times_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both ends at once, each with a row; what is dropped for another reason is not asked for its time."""
    soon = int(time.time()) + 3 * DAY
    seconds = [-2_208_988_800, START, START + 1, soon, 0]
    log = files.write(
        tmp_path,
        day(
            0,
            5,
            product_id=[1, 2, 3, 1, 99],
            timestamp=pa.array([second * 10**6 for second in seconds], pa.timestamp("us", "UTC")),
        ),
    )
    with pytest.raises(InputError) as raised:
        check(log)
    text = str(raised.value)
    assert "found 2 faults" in text
    assert "1 row before 1990, from 1900-01-01 00:00:00 to 1900-01-01 00:00:00, such as cust_person_id c0" in text
    assert f"1 row later than tomorrow, from {times.in_words(soon)} to {times.in_words(soon)}, such as" in text
    assert "timestamp -2208988800" in text
    assert text.count("Pass files without these rows as purchases.") == 2
    assert "Purchases from 1900-01-01 00:00:00 to " in capsys.readouterr().err


def test_the_ends_of_the_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = [631_152_000, int(time.time()) + DAY // 2]  # 1990-01-01 in UTC, and a local time that is ahead
    log = files.write(tmp_path, day(0, timestamp=pa.array([s * 10**6 for s in seconds], pa.timestamp("us"))))
    check(log)
    assert "Purchases from 1990-01-01 00:00:00 to " in capsys.readouterr().err
    seconds[0] -= 1
    log = files.write(tmp_path, day(0, timestamp=pa.array([s * 10**6 for s in seconds], pa.timestamp("us"))))
    with pytest.raises(InputError, match="1 row before 1990, from 1989-12-31 23:59:59"):
        check(log)


def test_units_of_numbers() -> None:
    assert times.unit_of(START, START + DAY) == "s"
    assert times.unit_of(START * 10**9, START * 10**9) == "ns"
    assert times.unit_of(0, START) == ""
    assert times.mistaken(-1, START * 1000) == ""
