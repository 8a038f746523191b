"""Fixtures that several folders share."""

import gc
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import toy_shops

NAMES = ["Молоко 3,2% «Домик»", "Gouda 'jung' 48%", 'Chips "paprika"', "りんご 🍎", "two\nlines", "Crème brûlée"]


def pytest_collection_finish() -> None:
    """Spares what has been imported, hundreds of thousands of objects, from being looked through for garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session")
def written_log(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A purchase log of 40 customers, 30 products and about 1,500 rows in baskets: paths of purchases and products.

    To be read only: `small_log` is a copy for one test.
    """
    rng = np.random.default_rng(7)
    baskets = 400
    customers = rng.integers(0, 40, baskets)
    # Microseconds, so that fractions of a second must be cut off alike everywhere.
    times = np.sort(rng.integers(1_700_000_000_000_000, 1_710_000_000_000_000, baskets))
    sizes = rng.integers(1, 7, baskets)
    basket = np.repeat(np.arange(baskets), sizes)
    popular = 1 / np.arange(1, 31)
    ids = np.arange(30, dtype=np.int64) * 1_000_003 + 306_344_001_001
    purchases = pa.table(
        {
            "cust_person_id": [f"клиент-{i}" if i % 3 else f"customer {i}" for i in customers[basket]],
            "product_id": ids[rng.choice(30, len(basket), p=popular / popular.sum())],
            "revenue": np.round(rng.gamma(2, 2, len(basket)), 2) + 0.01,
            "city": [f"Zürich {i % 5}" for i in customers[basket]],
            "timestamp": pa.array(times[basket], pa.timestamp("us", "UTC")),
        }
    )
    products = pa.table(
        {
            "product_id": ids,
            "art_name": [f"{NAMES[i % len(NAMES)]} {i}" for i in range(30)],
            "stratbuy_domain_desc": [f"категория {i % 4}" for i in range(30)],
            "mge_main_cat_desc": [f"sub {i % 9}" for i in range(30)],
        }
    )
    folder = tmp_path_factory.mktemp("log")
    paths = str(folder / "purchases.parquet"), str(folder / "products.parquet")
    for table, path in zip((purchases, products), paths, strict=True):
        pq.write_table(table, path)
    return paths


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> toy_shops.Shop:
    """A shop where there is something to learn; read only."""
    return toy_shops.favourites(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def small_log(written_log: tuple[str, str], tmp_path: Path) -> tuple[str, str]:
    """A copy of `written_log`, which a test may change."""
    purchases, products = (str(shutil.copy(path, tmp_path)) for path in written_log)
    return purchases, products
