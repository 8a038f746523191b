"""What the proof reads of the Examples."""

from pathlib import Path

import numpy as np

from components.common.example_part import Part
from components.exporter import purchases
from tests.components import fake_model

SHARD = "part-00000-of-00001.tfrecord.gz"
COLUMNS = {"cust_person_id": "string", "city": "string"}


def part(examples: str, split: str) -> Part:
    return Part(split, [f"{examples}/{split}/{SHARD}"])


def test_rows_of_equal_columns_are_one_query(world: dict[str, str]) -> None:
    found = purchases.read(part(world["examples"], "test"), COLUMNS, np.array(fake_model.CATALOGUE))
    assert found.customers.tolist() == [b"ann", b"bob", b"cyd", b"dan"]
    assert found.query.tolist() == [0, 0, 1, 2, 3, 0]
    assert found.target.tolist() == [0, 3, 2, 3, 1, -1]
    assert found.raw["city"].tolist() == [b"Ulm", b"Ulm", "Köln".encode(), b"Bonn"]
    assert found.names(np.array([2, 0])) == ["customer cyd", "customer ann"]


def test_a_query_tower_without_the_customer(world: dict[str, str]) -> None:
    found = purchases.read(part(world["examples"], "test"), {"city": "string"}, np.array(fake_model.CATALOGUE))
    assert found.customers.tolist() == [b"ann", b"cyd", b"dan"]  # one of each city
    assert found.query.tolist() == [0, 0, 0, 1, 2, 0]


def test_what_customers_bought_in_training(tmp_path: Path) -> None:
    train = [("ann", 12), ("eve", 12), ("bob", -7), ("ann", 11), ("ann", 12), ("bob", 2**62)]
    examples = fake_model.write_examples(tmp_path / "examples", train=train)
    asked = np.array([b"bob", b"new", b"ann", b"bob"], object)
    found = purchases.bought(part(examples, "train"), asked)
    assert [row.tolist() for row in found] == [[-7, 2**62], [], [11, 12], [-7, 2**62]]
    assert purchases.filled(found).tolist() == [[-7, 2**62], [-1, -1], [11, 12], [-7, 2**62]]
    assert purchases.filled([]).shape == (0, 0)
