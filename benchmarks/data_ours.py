"""Our two components, as `make bench-data` runs them; each returns the number of rows it read."""

import os
import shutil
import tempfile
from typing import Any

from components.common import storage
from components.data_extractor import extract, sources
from components.data_extractor.parameters import query_parameters
from components.data_extractor.parquet import ParquetSource
from components.vocab_builder.build import build_vocabularies


def examples(purchases: str, products: str, output: str) -> int:
    """The whole DataExtractor: checks, both queries, data report, shards."""
    shutil.rmtree(output, ignore_errors=True)
    extract.extract(purchases=purchases, products=products, output_path=output)
    return int(storage.read_json(f"{output}/data_report.json", "the data report")["rows"]["read"])


def store_rows(purchases: str, products: str, output: str) -> int:
    """The finished rows, joined with their products, in a Parquet file: what the naive pipeline starts from."""
    with ParquetSource(purchases, products) as source:
        parameters: dict[str, dict[str, Any]] = {
            "judged": {},
            "examples": query_parameters("temporal", 0.8, 0.15, 0, 1),
        }
        extras: dict[sources.Table, dict[str, str]] = {"purchases": {}, "products": {}}
        for table in sources.REQUIRED:
            source.select(table, sources.wanted(table, extras))
        for step in sources.STEPS:
            source.materialise(step, sources.query(step, extras), parameters[step])
        stored = {name: os.path.join(source.folder, f"{name}.parquet") for name in ("examples", "products")}
        joined = "SELECT * FROM read_parquet($examples) AS e LEFT JOIN read_parquet($products) AS p USING (product_id)"
        source.connection.sql(joined, params=stored).write_parquet(output, compression="lz4_raw")
    return 0


def vocabularies(examples: str) -> int:
    """The whole VocabBuilder."""
    with tempfile.TemporaryDirectory() as folder:
        return int(build_vocabularies(examples=examples, output_path=f"{folder}/vocabularies.json")["rows"])
