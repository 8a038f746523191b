-- Step 1 of 2: the purchase log, read once, and for every row whether something is wrong with it.
-- BigQuery's dialect, transpiled to DuckDB for Parquet files; sources.py fills in the names in braces.
WITH
  typed AS (
    SELECT
      cust_person_id,
      CAST(product_id AS INT64) AS product_id,
      -- Exact decimals: a sum of floats would depend on the order of the rows. NaN and infinity become NULL.
      SAFE_CAST(revenue AS NUMERIC(38, 9)) AS paid,
      city,
      CAST(`timestamp` AS TIMESTAMP) AS moment,
      {typed_extras}
    FROM {purchases}
  ),

  -- A purchase that the log holds several times, equal in every column read here, becomes one row with its number of
  -- copies. Reading the other columns too would cost more than it tells; an order id can be read as a carried column.
  purchases AS (
    SELECT
      cust_person_id,
      product_id,
      paid,
      city,
      -- Whole seconds, rounded down; engines differ in how they round when they convert by themselves.
      CAST(FLOOR(UNIX_MICROS(moment) / 1000000) AS INT64) AS `timestamp`,
      {purchase_extras}
      COUNT(*) AS copies
    FROM typed
    GROUP BY {grouped_extras} cust_person_id, product_id, paid, city, moment
  ),

  products AS (
    SELECT CAST(product_id AS INT64) AS known_product
    FROM {products}
  )

SELECT
  purchases.*,
  CASE
    WHEN cust_person_id IS NULL OR product_id IS NULL OR `timestamp` IS NULL THEN 'null_id'
    WHEN known_product IS NULL THEN 'no_metadata'
    WHEN paid IS NULL OR paid <= 0 THEN 'non_positive_revenue'
  END AS fault
FROM purchases
LEFT JOIN products ON product_id = known_product
