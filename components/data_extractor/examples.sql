-- Step 2 of 2: judged purchases become Examples. Every value is a query parameter.
-- No row vanishes: those that training must not see keep their place, with the reason in `dropped`.
WITH
  products AS (
    SELECT
      CAST(product_id AS INT64) AS product_id,
      art_name,
      stratbuy_domain_desc,
      mge_main_cat_desc,
      {product_extras}
    FROM {products}
  ),

  -- A temporal split knows nothing of its test period: the catalogue is chosen from what was bought before the test.
  -- When that begins depends on the rows that are kept, and so on the catalogue. First as if every product were kept,
  -- then, if that is earlier, with the catalogue of then. Where there is nothing to choose, catalogue_end is NULL.
  whole_timeline AS (
    SELECT
      `timestamp`,
      SUM(COUNT(*)) OVER (ORDER BY `timestamp`) AS rows_so_far,
      SUM(COUNT(*)) OVER () AS rows_in_all
    FROM {judged}
    WHERE fault IS NULL AND @split = 'temporal' AND (@catalogue_size > 0 OR @min_purchases > 1)
    GROUP BY `timestamp`
  ),
  whole_log AS (
    SELECT MIN(IF(rows_so_far > @test_from * rows_in_all, `timestamp`, NULL)) AS test_start
    FROM whole_timeline
  ),
  first_choice AS (
    SELECT
      product_id,
      ROW_NUMBER() OVER (
        ORDER BY COUNT(DISTINCT IF(@catalogue_size > 0, cust_person_id, NULL)) DESC, product_id
      ) AS place
    FROM {judged}
    CROSS JOIN whole_log
    WHERE fault IS NULL AND `timestamp` < test_start
    GROUP BY product_id
    HAVING COUNT(*) >= @min_purchases
  ),
  first_timeline AS (
    SELECT
      `timestamp`,
      SUM(COUNT(*)) OVER (ORDER BY `timestamp`) AS rows_so_far,
      SUM(COUNT(*)) OVER () AS rows_in_all
    FROM {judged} AS judged
    INNER JOIN first_choice ON judged.product_id = first_choice.product_id
    WHERE fault IS NULL AND (@catalogue_size = 0 OR first_choice.place <= @catalogue_size)
    GROUP BY `timestamp`
  ),
  before_test AS (
    SELECT
      COALESCE(
        LEAST(MIN(IF(rows_so_far > @test_from * rows_in_all, `timestamp`, NULL)), MAX(test_start)),
        MAX(test_start)
      ) AS catalogue_end
    FROM whole_log
    LEFT JOIN first_timeline ON TRUE
  ),

  -- The catalogue: what most customers buy. They are counted only where that decides.
  popularity AS (
    SELECT
      product_id,
      ROW_NUMBER() OVER (
        ORDER BY COUNT(DISTINCT IF(@catalogue_size > 0, cust_person_id, NULL)) DESC, product_id
      ) AS place
    FROM {judged}
    CROSS JOIN before_test
    WHERE fault IS NULL AND (catalogue_end IS NULL OR `timestamp` < catalogue_end)
    GROUP BY product_id
    HAVING COUNT(*) >= @min_purchases
  ),
  sifted AS (
    SELECT
      judged.* EXCEPT (fault),
      CASE
        WHEN fault IS NOT NULL THEN fault
        WHEN popularity.place IS NULL THEN 'not_in_catalogue'
        WHEN @catalogue_size > 0 AND popularity.place > @catalogue_size THEN 'not_in_catalogue'
      END AS dropped
    FROM {judged} AS judged
    LEFT JOIN popularity ON judged.product_id = popularity.product_id
  ),

  -- Temporal split: a boundary lies between two timestamps, so it never cuts a basket (one customer, one timestamp).
  -- The test begins no earlier than the choice of the catalogue ended.
  timeline AS (
    SELECT
      `timestamp`,
      SUM(COUNT(*)) OVER (ORDER BY `timestamp`) AS rows_so_far,
      SUM(COUNT(*)) OVER () AS rows_in_all
    FROM sifted
    WHERE dropped IS NULL
    GROUP BY `timestamp`
  ),
  boundaries AS (
    SELECT
      MIN(IF(rows_so_far > @validation_from * rows_in_all, `timestamp`, NULL)) AS validation_start,
      GREATEST(
        MIN(IF(rows_so_far > @test_from * rows_in_all, `timestamp`, NULL)),
        COALESCE(MAX(catalogue_end), MIN(`timestamp`))
      ) AS test_start
    FROM timeline
    CROSS JOIN before_test
  ),

  -- Random split: the MD5 of the purchase as a place in [0, 1), written in hexadecimal; the same on every machine.
  placed AS (
    SELECT
      sifted.*,
      IF(
        @split = 'random',
        SUBSTR(TO_HEX(MD5(CONCAT(
          cust_person_id, '|', CAST(product_id AS STRING), '|', CAST(`timestamp` AS STRING)
        ))), 1, 12),
        NULL
      ) AS place
    FROM sifted
  ),
  assigned AS (
    SELECT
      placed.* EXCEPT (place),
      CASE
        WHEN @split = 'random' AND place < @validation_from_hex THEN 'train'
        WHEN @split = 'random' AND place < @test_from_hex THEN 'validation'
        WHEN @split = 'random' AND place IS NOT NULL THEN 'test'
        WHEN @split = 'random' OR `timestamp` IS NULL THEN NULL
        WHEN `timestamp` < validation_start THEN 'train'
        WHEN `timestamp` < test_start THEN 'validation'
        ELSE 'test'
      END AS split
    FROM placed
    CROSS JOIN boundaries
  ),

  -- Point in time: what a customer had spent before a purchase. Only training rows count, so that the test period
  -- is never seen; for a customer's rows after the training period both totals are the same.
  baskets AS (
    SELECT cust_person_id, `timestamp`, SUM(IF(split = 'train', paid, 0)) AS paid
    FROM assigned
    WHERE dropped IS NULL
    GROUP BY cust_person_id, `timestamp`
  ),
  spent AS (
    SELECT
      cust_person_id,
      `timestamp`,
      IF(
        @revenue_as_of = 'purchase',
        SUM(paid) OVER (
          PARTITION BY cust_person_id ORDER BY `timestamp` ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ),
        SUM(paid) OVER (PARTITION BY cust_person_id)
      ) AS revenue
    FROM baskets
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
  assigned.split,
  assigned.dropped,
  assigned.copies,
  CAST(assigned.paid AS FLOAT64) AS paid
FROM assigned
LEFT JOIN products ON assigned.product_id = products.product_id
LEFT JOIN spent ON assigned.cust_person_id = spent.cust_person_id AND assigned.`timestamp` = spent.`timestamp`
