import json
from pathlib import Path

import numpy as np

from components.exporter import embeddings


def test_every_bit_of_an_embedding_survives(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(50, 32)) * 10.0 ** rng.integers(-30, 30, (50, 32))).astype("f4")
    catalogue = [str(product) for product in range(50)]
    embeddings.write(str(tmp_path), catalogue, values, {product: {} for product in catalogue})
    lines = [json.loads(line) for line in (tmp_path / "embeddings.json").read_text().splitlines()]
    assert [line["id"] for line in lines] == catalogue
    np.testing.assert_array_equal(np.array([line["embedding"] for line in lines], "f4"), values)
