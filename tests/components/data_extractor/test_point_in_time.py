"""Leaks, planted: each must be refused, and nothing written."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.errors import InputError
from components.data_extractor import sources
from components.data_extractor.extract import extract

CONFIG = """
query: {features: [{kind: id, name: cust_person_id}, {kind: temporal, name: card_issued}]}
candidate: {features: [{kind: id, name: product_id}]}
"""
# Lines of examples.sql, what somebody may make of them, and where the leak shows.
LEAKS = {
    "the basket itself": ("AND 1 PRECEDING", "AND CURRENT ROW", "field revenue, a leak"),
    "later purchases": (
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
        "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
        "field revenue, a leak",
    ),
    "the future instead of the past": (
        "ORDER BY `timestamp` ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
        "ORDER BY `timestamp` DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
        "field revenue, a leak",
    ),
    "the test period instead of training": (
        "SUM(IF(split = 'train', paid, 0)) AS paid",
        "SUM(IF(split <> 'train', paid, 0)) AS paid",
        "field revenue, a leak",
    ),
    "the test period": (
        "SUM(IF(split = 'train', paid, 0)) AS paid",
        "SUM(paid) AS paid",
        "field revenue, a leak: found .* expected nothing from after a row, and nothing from outside the training",
    ),
    "training rows of the test period": (
        "WHEN `timestamp` < validation_start THEN 'train'",
        "WHEN MOD(product_id, 2) = 0 THEN 'train'",
        "temporal split: found a train row at .* expected every train row before every validation row",
    ),
}


@pytest.fixture
def log(small_log: tuple[str, str]) -> tuple[str, str]:
    """With a column that is known at the purchase: the day before it."""
    table = pq.read_table(small_log[0])
    seconds = table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64) - 86_400
    pq.write_table(table.append_column("card_issued", pa.chunked_array([pa.array(seconds)])), small_log[0])
    return small_log


def test_moments_of_products_in_milliseconds(log: tuple[str, str], tmp_path: Path) -> None:
    table = pq.read_table(log[1])
    moments = [1_700_000_000_000 + i for i in range(len(table))]
    pq.write_table(table.append_column("listed", pa.chunked_array([moments])), log[1])
    config = CONFIG.replace("name: product_id}", "name: product_id}, {kind: temporal, name: listed}")
    message = r"field listed: found 30 moments beyond the year 9999, such as 1700000000000 of product 306344001001; div"
    with pytest.raises(InputError, match=message):
        extract(purchases=log[0], products=log[1], output_path=str(tmp_path / "out"), feature_config=config)


def run(log: tuple[str, str], output: Path, **arguments: str) -> None:
    extract(purchases=log[0], products=log[1], output_path=str(output), feature_config=CONFIG, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("split", ["temporal", "random"])
@pytest.mark.parametrize("revenue", ["purchase", "training"])
def test_the_query_as_it_is_leaks_nothing(log: tuple[str, str], tmp_path: Path, split: str, revenue: str) -> None:
    run(log, tmp_path / "out", split=split, revenue_as_of=revenue)


@pytest.mark.parametrize(("line", "leak", "message"), LEAKS.values(), ids=LEAKS.keys())
def test_a_planted_leak_is_refused(
    log: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, leak: str, message: str
) -> None:
    honest = sources.query

    def leaking(step: sources.Step, extras: dict[sources.Table, dict[str, str]]) -> str:
        sql = honest(step, extras)
        assert step == "judged" or line in sql
        return sql.replace(line, leak)

    monkeypatch.setattr(sources, "query", leaking)
    with pytest.raises(InputError, match=message):
        run(log, tmp_path / "out", revenue_as_of="purchase")
    assert not (tmp_path / "out").exists()


def test_a_column_that_knows_the_future_is_refused(log: tuple[str, str], tmp_path: Path) -> None:
    table = pq.read_table(log[0])
    issued = table["card_issued"].to_numpy().copy()
    issued[17] += 86_402
    pq.write_table(table.set_column(5, "card_issued", pa.array(issued)), log[0])
    with pytest.raises(InputError) as raised:
        run(log, tmp_path / "out")
    text = str(raised.value)
    assert text.startswith("field card_issued, a leak: found 1 purchases that know a later moment, such as")
    assert f"cust_person_id {table['cust_person_id'][17]}" in text
    assert f"card_issued {issued[17]}" in text
    assert not (tmp_path / "out").exists()
