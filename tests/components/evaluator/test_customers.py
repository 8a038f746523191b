from pathlib import Path

import numpy as np

from components.evaluator import customers
from components.evaluator.baselines import Purchases
from components.evaluator.data import Split
from tests.components import fake_model


def test_twelve_customers_from_light_to_heavy_by_what_they_bought(tmp_path: Path) -> None:
    """Customer i of 40 bought i + 1 times: without the lightest and heaviest two, every 35/11th of them is shown."""
    products = {str(11 + i): {"art_name": f"name {i}"} for i in range(12)}
    train = [(f"c{i:02}", 11 + i % 12) for i in range(40) for _ in range(i + 1)]
    folder = fake_model.write_examples(tmp_path / "examples", train, [("c00", 11)], products)
    names = np.array([f"c{i:02}".encode() for i in range(40)][::-1], object)  # the heaviest is customer 0
    purchases = Purchases([f"{folder}/train/part-00000-of-00001.tfrecord.gz"], names, np.arange(11, 23))
    # Everybody bought product 0 twice and product 11 once, and is recommended 11, 10, … 2.
    everyone = np.arange(40)
    split = Split({}, np.repeat(everyone, 3), names, np.repeat(everyone, 3), np.tile([0, 0, 11], 40))

    def scores(block: slice) -> np.ndarray:
        return np.tile(np.arange(12.0), (block.stop - block.start, 1))

    cards = customers.pick(split, scores, purchases, list(products), products)
    places = [0, 3, 6, 10, 13, 16, 19, 22, 25, 29, 32, 35]
    assert [card["training_purchases"] for card in cards] == [place + 3 for place in places]
    assert [card["customer"] for card in cards] == [f"c{place + 2:02}" for place in places]
    assert cards[0]["history"] == [{"name": "name 2", "count": 3}]
    assert [item["name"] for item in cards[0]["recommended"]] == [f"name {i}" for i in range(11, 1, -1)]
    assert [item["hit"] for item in cards[0]["recommended"]] == [True] + [False] * 9
    assert cards[0]["bought"] == [
        {"name": "name 0", "count": 2, "hit": False},
        {"name": "name 11", "count": 1, "hit": True},
    ]
    assert cards[0]["hits"] == 1
