"""A release whose model can be followed by hand: the signatures of the Exporter's over embeddings that are given."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.components import fake_model
from tests.components.exporter.vertex import releases
from tests.components.fake_model import CATALOGUE, PRODUCTS, SCORES, Lookup

COLUMNS = {"cust_person_id": tf.string, "revenue": tf.float32, "city": tf.string}


class Recommender(tf.Module):
    """Scores are those of fake_model.SCORES, plus a thousandth of the revenue, plus 100 in the city of Bonn."""

    def __init__(self) -> None:
        super().__init__()
        self.lookup = Lookup(tf.constant(list(SCORES)), np.array([list(row) for row in SCORES.values()], "f4"))
        self.ids = tf.constant(CATALOGUE, tf.int64)
        self.names = tf.constant([PRODUCTS[str(product)]["art_name"] for product in CATALOGUE])

    def recommend(self, k: tf.Tensor, **columns: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._top(self._scores(columns), k)

    def recommend_excluding(
        self, k: tf.Tensor, exclude: tf.Tensor, category: tf.Tensor, **columns: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        hidden = tf.reduce_any(exclude[:, :, None] == self.ids[None, None], axis=1)
        return self._top(tf.where(hidden | (category != "")[:, None], -np.inf, self._scores(columns)), k)

    def _scores(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        bonus = columns["revenue"] / 1000 + tf.where(columns["city"] == "Bonn", 100.0, 0.0)
        return self.lookup(columns["cust_person_id"]) + bonus[:, None]

    def _top(self, scores: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        best, places = tf.math.top_k(scores, tf.minimum(tf.reduce_max(k), tf.size(self.ids)))
        gone = tf.math.is_inf(best)
        return {
            "product_ids": tf.where(gone, tf.constant(-1, tf.int64), tf.gather(self.ids, places)),
            "product_names": tf.where(gone, "", tf.gather(self.names, places)),
            "scores": best,
        }

    def save(self, folder: str) -> None:
        specs = {name: tf.TensorSpec([None], kind, name) for name, kind in COLUMNS.items()}
        k = tf.TensorSpec([None], tf.int32, "k")
        exclude, category = (
            tf.TensorSpec([None, None], tf.int64, "exclude"),
            tf.TensorSpec([None], tf.string, "category"),
        )
        plain = tf.function(self.recommend).get_concrete_function(k=k, **specs)
        excluding = tf.function(self.recommend_excluding).get_concrete_function(
            k=k, exclude=exclude, category=category, **specs
        )
        signatures = {"serving_default": plain, "recommend": plain, "recommend_excluding": excluding}
        tf.saved_model.save(self, folder, signatures)


def write(folder: Path) -> dict[str, str]:
    """Writes a release with a model that recommends, and its examples: the paths of both."""
    release = releases.write(folder / "release", "v1", products=len(CATALOGUE))
    Recommender().save(f"{release}/saved_model")
    return {"release": release, "examples": fake_model.write_examples(folder / "examples")}
