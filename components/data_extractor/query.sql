-- Purchases become Examples: BigQuery's dialect, transpiled to DuckDB for Parquet files.
-- Names in braces are filled in by sources.py; every value is a query parameter.
WITH
  purchases AS (
    SELECT
      cust_person_id,
      CAST(product_id AS INT64) AS product_id,
      -- Exact decimals: a sum of floats would depend on the order of the rows.
      CAST(revenue AS NUMERIC(38, 9)) AS revenue,
      city,
      -- Truncated first, because engines differ in how they round a fraction of a second.
      UNIX_SECONDS(TIMESTAMP_TRUNC(CAST(`timestamp` AS TIMESTAMP), SECOND)) AS `timestamp`
      {purchase_extras}
    FROM {purchases}
  ),

  products AS (
    SELECT
      CAST(product_id AS INT64) AS product_id,
      art_name,
      stratbuy_domain_desc,
      mge_main_cat_desc
      {product_extras}
    FROM {products}
  ),

  -- The catalogue: what most customers buy.
  popularity AS (
    SELECT
      product_id,
      COUNT(*) AS purchases,
      ROW_NUMBER() OVER (ORDER BY COUNT(DISTINCT cust_person_id) DESC, product_id) AS place
    FROM purchases
    GROUP BY product_id
    HAVING COUNT(*) >= @min_purchases
  ),
  in_catalogue AS (
    SELECT purchases.*
    FROM purchases
    INNER JOIN popularity ON purchases.product_id = popularity.product_id
    WHERE @catalogue_size = 0 OR popularity.place <= @catalogue_size
  ),

  -- Temporal split: a boundary lies between two timestamps, so it never cuts a basket (one customer, one timestamp).
  timeline AS (
    SELECT
      `timestamp`,
      SUM(COUNT(*)) OVER (ORDER BY `timestamp`) AS rows_so_far,
      SUM(COUNT(*)) OVER () AS rows_in_all
    FROM in_catalogue
    GROUP BY `timestamp`
  ),
  boundaries AS (
    SELECT
      MIN(IF(rows_so_far > @validation_from * rows_in_all, `timestamp`, NULL)) AS validation_start,
      MIN(IF(rows_so_far > @test_from * rows_in_all, `timestamp`, NULL)) AS test_start
    FROM timeline
  ),

  -- Random split: the MD5 of the purchase as a place in [0, 1), written in hexadecimal; the same on every machine.
  placed AS (
    SELECT
      in_catalogue.*,
      IF(
        @split = 'random',
        SUBSTR(TO_HEX(MD5(CONCAT(
          cust_person_id, '|', CAST(product_id AS STRING), '|', CAST(`timestamp` AS STRING)
        ))), 1, 12),
        NULL
      ) AS place
    FROM in_catalogue
  ),
  assigned AS (
    SELECT
      placed.*,
      CASE
        WHEN @split = 'random' AND place < @validation_from_hex THEN 'train'
        WHEN @split = 'random' AND place < @test_from_hex THEN 'validation'
        WHEN @split = 'random' THEN 'test'
        WHEN `timestamp` < validation_start THEN 'train'
        WHEN `timestamp` < test_start THEN 'validation'
        ELSE 'test'
      END AS split
    FROM placed
    CROSS JOIN boundaries
  ),

  -- A customer's revenue is known from training rows only: a total over later rows would leak them.
  spent AS (
    SELECT cust_person_id, SUM(revenue) AS revenue
    FROM assigned
    WHERE split = 'train'
    GROUP BY cust_person_id
  )

SELECT
  assigned.cust_person_id,
  assigned.product_id,
  COALESCE(CAST(spent.revenue AS FLOAT64), 0.0) AS revenue,
  assigned.city,
  assigned.`timestamp`,
  products.art_name,
  products.stratbuy_domain_desc,
  products.mge_main_cat_desc,
  {extras}
  assigned.split
FROM assigned
INNER JOIN products ON assigned.product_id = products.product_id
LEFT JOIN spent ON assigned.cust_person_id = spent.cust_person_id
