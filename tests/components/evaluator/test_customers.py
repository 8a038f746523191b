import numpy as np

from components.evaluator import customers
from components.evaluator.data import Split
from components.evaluator.scoring import Scorer
from tests.components.evaluator.by_hand import purchases


def test_twelve_customers_from_light_to_heavy_by_what_they_bought() -> None:
    """Customer i of 40 bought i + 1 times: without the lightest and heaviest two, every 35/11th of them is shown.

    A forty-first, not of the split, bought most of all.
    """
    products = {str(11 + i): {"art_name": f"name {i}"} for i in range(12)}
    counts = np.zeros((41, 12), np.int64)
    for i in range(40):  # the heaviest is customer 0 of the split
        counts[39 - i] = np.bincount(np.full(i + 1, i % 12), minlength=12)
    counts[40, 5] = 99
    # Everybody bought product 0 twice and product 11 once, and is recommended 11, 10, … 2.
    everyone = np.repeat(np.arange(40), 3)
    target = np.tile([0, 0, 11], 40)
    split = Split(
        raw={},
        customers=np.array([f"c{i:02}".encode() for i in range(40)][::-1], object),
        customer=everyone,
        product=target + 11,
        time=np.zeros(120, np.int64),
        basket=everyone,
        cities=np.array([], object),
        city=np.zeros(120, np.int64),
    )
    scorer = Scorer(
        lambda block: np.tile(np.arange(12.0), (len(np.arange(40)[block]), 1)), everyone, target, np.ones(12)
    )

    cards = customers.pick(split, scorer, purchases(counts), list(products), products)
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
