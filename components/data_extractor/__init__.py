"""DataExtractor: a purchase log in BigQuery or Parquet becomes train, validation and test TFRecords."""
