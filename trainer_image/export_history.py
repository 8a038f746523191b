"""SavedModels of a model with a history, which carry what each customer is known to have bought."""

from typing import Any

import tensorflow as tf

from components.common import schema
from components.common.saved_models import OWN_PRODUCTS, OWN_SCORES
from trainer_image import history, inputs
from trainer_image.history import Events, History
from trainer_image.model import DTYPES, Answer, TwoTower
from trainer_image.repeats import Repeats

PRODUCTS, AGES = schema.HISTORY

Tensors = dict[str, tf.Tensor]


class Customers(tf.Module):
    """Answers customers by what they bought: as a request says, else as the model knows."""

    def __init__(self, model: TwoTower, past: History):
        super().__init__()
        self.model = model
        self.starts, self.place, self.age = (
            tf.Variable(values, trainable=False) for values in (past.starts, past.place, past.age)
        )
        candidates = model.candidates()
        self.candidates = tf.Variable(candidates, trainable=False)
        self.scored = tf.Variable(model.scored(candidates), trainable=False)
        self.ids = tf.constant([int(product) for product in model.catalogue], tf.int64)
        self.index = inputs.product_index(model.catalogue)

    def answer(self, raw: Tensors) -> tuple[Answer, tf.Tensor]:
        """The answer, and B. `raw` are the columns [B] and what schema.HISTORY names, [1 or B, E]."""
        encoded = self.model.query_encoder({name: column for name, column in raw.items() if name not in schema.HISTORY})
        rows = tf.shape(encoded[history.KEY])[0]
        events = self._events(encoded[history.KEY], rows, raw[PRODUCTS], raw[AGES])
        answer = self.model.answer(encoded, events, rows, self.candidates)
        order = tf.argsort(answer.row, stable=True)
        row, place, score = (tf.gather(values, order) for values in answer[1:])
        return Answer(answer.queries, row, place, score), rows

    def _events(self, customer: tf.Tensor, rows: tf.Tensor, products: tf.Tensor, ages: tf.Tensor) -> Events:
        width = tf.maximum(tf.shape(products)[1], tf.shape(ages)[1])
        products, ages = (tf.broadcast_to(values, [rows, width]) for values in (products, ages))
        place = self.index.lookup(products)
        given = tf.where(place != inputs.UNKNOWN)
        asked = tf.reduce_any(place != inputs.UNKNOWN, axis=1)
        customer = tf.where(asked, 0, customer)  # row 0 bought nothing
        begin, end = tf.gather(self.starts, customer), tf.gather(self.starts, customer + 1)
        known = tf.ragged.range(begin, end)
        age = tf.gather_nd(ages, given)
        age = tf.where(tf.math.is_finite(age), tf.maximum(age, 0.0), 0.0)
        return Events(
            tf.concat([tf.cast(known.value_rowids(), tf.int32), tf.cast(given[:, 0], tf.int32)], 0),
            tf.concat([tf.gather(self.place, known.flat_values), tf.gather_nd(place, given)], 0),
            tf.concat([tf.gather(self.age, known.flat_values), age], 0),
        )

    def embed(self, **raw: tf.Tensor) -> Tensors:
        """{"embedding": [B, D], "own_products": int64 [B, H], "own_scores": float32 [B, H]}."""
        answer, rows = self.answer(raw)
        ids = tf.gather(self.ids, answer.place)

        def padded(values: tf.Tensor, filler: Any) -> tf.Tensor:
            return tf.RaggedTensor.from_value_rowids(values, row, nrows=tf.cast(rows, tf.int64)).to_tensor(filler)

        row = tf.cast(answer.row, tf.int64)
        return {
            "embedding": answer.queries,
            OWN_PRODUCTS: padded(ids, tf.constant(schema.NO_PRODUCT, tf.int64)),
            OWN_SCORES: padded(answer.score, 0.0),
        }

    def retrieve(self, k: int, **raw: tf.Tensor) -> Tensors:
        """{"product_ids": int64 [B, k], "scores": float32 [B, k]}, best first."""
        answer, _ = self.answer(raw)
        scores = tf.matmul(answer.queries, self.scored, transpose_b=True)
        scores = tf.tensor_scatter_nd_add(scores, tf.stack([answer.row, answer.place], axis=1), answer.score)
        best, place = tf.math.top_k(scores, k)
        return {"product_ids": tf.gather(self.ids, place), "scores": best}

    def specs(self) -> dict[str, tf.Tensor | tf.TensorSpec]:
        """Inputs: the customer's columns, and a history that may be left out."""
        columns = self.model.query_encoder.columns
        raw = {column: tf.TensorSpec([None], DTYPES[kind], column) for column, kind in columns.items()}
        return {**raw, PRODUCTS: tf.zeros([1, 0], tf.int64), AGES: tf.zeros([1, 0], tf.float32)}


class Products(tf.Module):
    """Embeds products: by the tower, and with the trend of those that were sold; others have that of no purchase."""

    def __init__(self, model: TwoTower, repeats: Repeats):
        super().__init__()
        self.encoder, self.tower = model.candidate_encoder, model.candidate_tower
        trend = repeats.bias(repeats.statistics)
        self.trend = tf.Variable(tf.concat([trend, [repeats.bias_of_new]], 0), trainable=False)
        self.index = inputs.product_index(model.catalogue)

    def embed(self, **raw: tf.Tensor) -> Tensors:
        """{"embedding": [B, D]}."""
        place = self.index.lookup(raw[schema.PRODUCT])
        place = tf.where(place == inputs.UNKNOWN, tf.size(self.trend) - 1, place)
        embedded = self.tower(self.encoder({name: raw[name] for name in self.encoder.columns}))
        return {"embedding": tf.concat([embedded, tf.gather(self.trend, place)[:, None]], axis=1)}

    def specs(self) -> dict[str, tf.Tensor | tf.TensorSpec]:
        columns = {**self.encoder.columns, schema.PRODUCT: "int64"}
        return {column: tf.TensorSpec([None], DTYPES[kind], column) for column, kind in columns.items()}
