"""A release like the Exporter's, small enough to rank by hand: the same signatures over embeddings that are given."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests.components.fake_model import Lookup

K = 100
COLUMNS = {"cust_person_id": tf.string, "revenue": tf.float32, "city": tf.string}
REVENUE = 5.0  # where it is not given
TEXT_LEFT_OUT, REVENUE_LEFT_OUT, K_LEFT_OUT = tf.constant([""]), tf.constant([REVENUE]), tf.constant([K])
NOTHING_EXCLUDED = tf.zeros([1, 0], tf.int64)

Embed = Callable[..., dict[str, tf.Tensor]]


class Serving(tf.Module):
    """Scores are dot products of the customer's embedding with the candidates.

    Args:
        embed: Columns of COLUMNS, each [B], to {"embedding": [B, D]}; a SavedModel's signature or a module's method.
        candidates: float32 [N, D].
        products: Per candidate (id, name, category, subcategory).
        keep: What `embed` is a part of, so that its variables are saved too.
    """

    def __init__(self, embed: Embed, candidates: np.ndarray, products: list[tuple[int, str, str, str]], keep: Any):
        super().__init__()
        self.embed, self.keep = embed, keep
        self.candidates = tf.Variable(candidates.astype("f4"))
        self.ids = tf.constant([product[0] for product in products], tf.int64)
        self.texts = [tf.constant([product[place] for product in products]) for place in (1, 2, 3)]

    def _top(self, scores: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        best, places = tf.math.top_k(scores, tf.minimum(tf.reduce_max(k), tf.size(self.ids)))
        gone = (tf.range(tf.shape(best)[1])[None] >= tf.reshape(k, [-1, 1])) | tf.math.is_inf(best)
        texts = [tf.where(gone, "", tf.gather(text, places)) for text in self.texts]
        return {
            "product_ids": tf.where(gone, tf.constant(-1, tf.int64), tf.gather(self.ids, places)),
            "product_names": texts[0],
            "categories": texts[1],
            "subcategories": texts[2],
            "scores": tf.where(gone, -np.inf, best),
        }

    def _scores(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.matmul(self.embed(**columns)["embedding"], self.candidates, transpose_b=True)

    def _recommend(
        self,
        k: tf.Tensor = K_LEFT_OUT,
        cust_person_id: tf.Tensor = TEXT_LEFT_OUT,
        revenue: tf.Tensor = REVENUE_LEFT_OUT,
        city: tf.Tensor = TEXT_LEFT_OUT,
    ) -> dict[str, tf.Tensor]:
        return self._top(self._scores({"cust_person_id": cust_person_id, "revenue": revenue, "city": city}), k)

    def _excluding(
        self,
        exclude: tf.Tensor = NOTHING_EXCLUDED,
        category: tf.Tensor = TEXT_LEFT_OUT,
        k: tf.Tensor = K_LEFT_OUT,
        cust_person_id: tf.Tensor = TEXT_LEFT_OUT,
        revenue: tf.Tensor = REVENUE_LEFT_OUT,
        city: tf.Tensor = TEXT_LEFT_OUT,
    ) -> dict[str, tf.Tensor]:
        scores = self._scores({"cust_person_id": cust_person_id, "revenue": revenue, "city": city})
        hidden = tf.reduce_any(exclude[:, :, None] == self.ids[None, None], axis=1)
        wanted = category[:, None]
        hidden |= (wanted != "") & (wanted != self.texts[1][None])
        return self._top(tf.where(hidden, -np.inf, scores), k)

    def signatures(self) -> dict[str, Any]:
        """Functions with input signatures, of which TensorFlow stores the defaults."""
        own = [tf.TensorSpec([None], kind, name) for name, kind in {"k": tf.int32, **COLUMNS}.items()]
        further = [tf.TensorSpec([None, None], tf.int64, "exclude"), tf.TensorSpec([None], tf.string, "category")]
        recommend = tf.function(self._recommend, input_signature=own)
        excluding = tf.function(self._excluding, input_signature=[*further, *own])
        return {"serving_default": recommend, "recommend": recommend, "recommend_excluding": excluding}


def write(
    folder: Path,
    embed: Embed,
    candidates: np.ndarray,
    products: list[tuple[int, str, str, str]],
    keep: Any,
    **release: Any,
) -> str:
    """Writes release/ with a saved_model/ of `Serving`; `release` holds further keys of release.json."""
    module = Serving(embed, candidates, products, keep)
    tf.saved_model.save(module, str(folder / "saved_model"), module.signatures())
    document = {
        "format_version": 2,
        "model_version": "stand-in",
        "verdict": {"promote": True, "reasons": []},
        **release,
    }
    (folder / "release.json").write_text(json.dumps(document), encoding="utf-8")
    return str(folder)


def write_known(
    folder: Path,
    customers: dict[str, list[float]],
    candidates: np.ndarray,
    products: list[tuple[int, str, str, str]],
    **release: Any,
) -> str:
    """A release whose customers have the embeddings that are given, plus a millionth of the revenue in every place."""
    lookup = Lookup(tf.constant(list(customers)), np.array(list(customers.values()), "f4"))

    def embed(cust_person_id: tf.Tensor, revenue: tf.Tensor, city: tf.Tensor) -> dict[str, tf.Tensor]:
        unused = 0.0 * tf.cast(tf.strings.length(city), tf.float32)[:, None]
        return {"embedding": lookup(cust_person_id) + 1e-6 * revenue[:, None] + unused}

    return write(folder, embed, candidates, products, lookup, **release)
