"""A query model with a history: the fake model's, whose own terms are a sum over purchases, FACTOR / (1 + age) each."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests.components import fake_model

History = list[tuple[int, float]]  # product and age of each purchase, in days
Tensors = dict[str, tf.Tensor]

FACTOR = 4.0
# ann's 14 gains 4 and leads with 5, bob's 13 gains 3 and leads with 4, cyd's 11 gains 1 and ties with 12; dan is new.
HISTORIES: dict[str, History] = {"ann": [(14, 0)], "bob": [(13, 1), (13, 3)], "cyd": [(11, 3)]}
RECALL = {"recall_1": 3.5 / 6, "recall_2": 5 / 6}  # of fake_model's test purchases, with these histories, by hand


def own(history: History, catalogue: list[int], factor: float = FACTOR) -> np.ndarray:
    """The terms of one customer by NumPy, float64 [N]."""
    terms = np.zeros(len(catalogue))
    for product, age in history:
        if product in catalogue:
            terms[catalogue.index(product)] += factor / (1 + age)
    return terms


class HistoryQuery(tf.Module):
    """A query tower of the customer and the revenue; only the customer and what was bought matter."""

    def __init__(
        self,
        scores: Mapping[str, Iterable[float]],
        catalogue: list[int],
        histories: Mapping[str, History],
        alter: Callable[[Tensors], Tensors],
    ):
        super().__init__()
        customers = list(scores)
        self.lookup = fake_model.Lookup(tf.constant(customers), np.array([list(row) for row in scores.values()], "f4"))
        places = tf.range(len(catalogue), dtype=tf.int64)
        keys = tf.constant(catalogue, tf.int64)
        self.place = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, places), -1)
        rows = [histories.get(customer, []) for customer in customers] + [[]]
        width = max(map(len, rows))
        filled = [row + [(-1, 0.0)] * (width - len(row)) for row in rows]
        self.known = tf.constant([[product for product, _ in row] for row in filled], tf.int64, (len(rows), width))
        self.ages = tf.constant([[age for _, age in row] for row in filled], tf.float32, (len(rows), width))
        self.catalogue = keys

        def serve(
            cust_person_id: tf.Tensor,
            revenue: tf.Tensor,
            history_products: Any = tf.zeros([1, 0], tf.int64),  # noqa: B008 (a default of the signature)
            history_ages: Any = tf.zeros([1, 0]),  # noqa: B008
        ) -> Tensors:
            nothing = tf.math.multiply_no_nan(revenue, 0.0)[:, None]
            embedding = self.lookup(cust_person_id) + nothing
            return alter({"embedding": embedding, **self.own(cust_person_id, history_products, history_ages)})

        self.serve = tf.function(
            serve,
            autograph=False,
            input_signature=[
                tf.TensorSpec([None], tf.string, "cust_person_id"),
                tf.TensorSpec([None], tf.float32, "revenue"),
                tf.TensorSpec([None, None], tf.int64, "history_products"),
                tf.TensorSpec([None, None], tf.float32, "history_ages"),
            ],
        )

    def own(self, customers: tf.Tensor, products: tf.Tensor, ages: tf.Tensor) -> Tensors:
        shape = tf.stack([tf.size(customers), tf.shape(products)[1]])
        products, ages = tf.broadcast_to(products, shape), tf.broadcast_to(ages, shape)
        row = self.lookup.table.lookup(customers) % tf.shape(self.known, tf.int64)[0]
        nothing = tf.reduce_all(products == -1, axis=1, keepdims=True)
        products = tf.concat([products, tf.where(nothing, tf.gather(self.known, row), -1)], axis=1)
        ages = tf.concat([ages, tf.gather(self.ages, row)], axis=1)
        bought = tf.one_hot(self.place.lookup(products), len(self.catalogue))  # [B, E, N]
        terms = tf.reduce_sum(bought * (FACTOR / (1 + ages))[:, :, None], axis=1)
        is_own = tf.cast(tf.reduce_any(bought > 0, axis=1), tf.int32)
        there, places = tf.math.top_k(is_own, tf.reduce_max(tf.reduce_sum(is_own, axis=1)))
        return {
            "own_products": tf.where(there > 0, tf.gather(self.catalogue, places), -1),
            "own_scores": tf.where(there > 0, tf.gather(terms, places, batch_dims=1), 0.0),
        }


def unaltered(outputs: Tensors) -> Tensors:
    return outputs


def write_model(
    folder: Path,
    scores: Mapping[str, Iterable[float]] = fake_model.SCORES,
    catalogue: list[int] = fake_model.CATALOGUE,
    histories: Mapping[str, History] = HISTORIES,
    alter: Callable[[Tensors], Tensors] = unaltered,
    **more: Any,
) -> str:
    """Writes model/.

    Args:
        folder: Where.
        scores, catalogue: See fake_model.
        histories: What training knows of customers.
        alter: Changes what the query model returns.
        more: For fake_model.
    """
    path = fake_model.write_model(folder, scores, catalogue, query_model=False, **more)
    rows = np.array([list(row) for row in scores.values()], "f4")
    known = tuple((customer, tuple(history)) for customer, history in histories.items())
    content = (fake_model.contents(list(scores), rows), tuple(catalogue), known, alter)
    fake_model.save(folder / "query_model", content, lambda: HistoryQuery(scores, catalogue, histories, alter))
    return path
