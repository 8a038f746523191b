"""Where in-batch negatives become cheaper than the whole catalogue, beside what `--loss auto` chooses there."""

import numpy as np
from rich.table import Table

from benchmarks import train_ours
from benchmarks.train_ours import BATCH, Data
from components.common import feature_config as fc
from components.common import schema
from trainer_image import cost
from trainer_image.batches import Sampler
from trainer_image.inputs import Purchases
from trainer_image.model import Encoders

CUSTOMERS, STEPS, ROUNDS = 20_000, 32, 3
SHAPES = ((1_500, 1), (6_000, 1), (24_000, 1), (24_000, 8), (24_000, 32), (96_000, 32))  # products, rows a customer


def table() -> Table:
    """Microseconds a purchase for both losses, over sizes of the catalogue and rows a customer."""
    found = Table(title="Which loss is cheaper, microseconds a purchase")
    for column in ("products", "rows a customer", "full catalogue", "in-batch", "--loss auto"):
        found.add_column(column, justify="right")
    for products, rows in SHAPES:
        data = synthetic(products, rows)
        chosen = cost.cheaper_loss(cost.shape_of(data.config, data.encoders), data.purchases, products, BATCH)
        times = {}
        for loss in ("full-catalogue", "in-batch"):
            rate = train_ours.contestant(data, loss)
            held = Sampler(data.purchases, loss, BATCH, 1, seed=1).expected_rows
            times[loss] = 1e6 / (max(rate(STEPS) for _ in range(ROUNDS)) / BATCH * held)
        found.add_row(f"{products:,}", str(rows), *(f"{time:.2f}" for time in times.values()), chosen)
    return found


def synthetic(products: int, rows: int, customers: int = CUSTOMERS, config: str = "feature_config.yaml") -> Data:
    """Customers of some rows each, over a catalogue of Zipf popularity."""
    random = np.random.default_rng(1)
    popular = 1 / np.arange(1, products + 1)
    pair = np.repeat(np.arange(customers), rows) * products + random.choice(
        products, customers * rows, p=popular / popular.sum()
    )
    distinct, count = np.unique(pair, return_counts=True)
    loaded = fc.load(config)
    names = [str(number) for number in range(products)]
    tokens = {
        schema.CUSTOMER: [str(number) for number in range(customers)],
        schema.PRODUCT: names,
        "city": ["city"],
        schema.CATEGORY: [str(number) for number in range(30)],
        schema.SUBCATEGORY: [str(number) for number in range(300)],
    }
    vocabularies = {name: {"tokens": found, "counts": [1] * len(found)} for name, found in tokens.items()}
    vocabularies["revenue"] = {"mean": 0.0, "variance": 1.0, "quantiles": [float(number) for number in range(101)]}
    lookup = {
        name: {schema.CATEGORY: str(int(name) % 30), schema.SUBCATEGORY: str(int(name) % 300), schema.NAME: name}
        for name in names
    }
    encoders = Encoders(loaded, vocabularies, lookup, {"vocabularies": "", "metadata": ""})
    queries = {
        schema.CUSTOMER: np.arange(1, customers + 1, dtype=np.int32),
        "revenue": random.normal(size=(customers, 1)).astype(np.float32),
        "city": np.ones(customers, np.int32),
    }
    splits = np.searchsorted(distinct // products, np.arange(customers + 1))
    product = (distinct % products).astype(np.int32)  # the catalogue is sorted by number, as names are
    return Data(loaded, encoders, Purchases(queries, splits, product, count.astype(np.int32)))
