"""Builds the served model from the Trainer's SavedModels: a TFRS index of the catalogue over the query tower."""

import numpy as np
import tensorflow as tf

from components.common import queries, saved_models, schema
from components.common.errors import InputError
from components.common.named_inputs import named_inputs
from components.common.saved_models import OWN_PRODUCTS, OWN_SCORES
from components.exporter.catalogue import Catalogue
from components.exporter.catalogue_index import CatalogueIndex
from components.exporter.signatures import (
    CANDIDATE_EMBEDDING,
    CATEGORY,
    EXCLUDE,
    EXCLUDING,
    FROM_HISTORY,
    HISTORY_AGES,
    HISTORY_PRODUCTS,
    IDS,
    MOST_SHOWN,
    NO_PRODUCT,
    NOW,
    QUERY_EMBEDDING,
    RECOMMEND,
    SCORES,
    SIMILAR,
    TEXTS,
    K,
)

Tensors = dict[str, tf.Tensor]

MISSING = {tf.string: b"", tf.float32: np.nan, tf.int64: NOW}


class ServingModel(tf.Module):
    """What `components.exporter.signatures` describes.

    Args:
        query_model, candidate_model: The Trainer's.
        catalogue: The products of the index.

    Raises:
        InputError: the customer has a column of the name of another input.
    """

    def __init__(
        self, query_model: saved_models.SavedModel, candidate_model: saved_models.SavedModel, catalogue: Catalogue
    ):
        super().__init__()
        self._query, self._candidate = query_model.loaded, candidate_model.loaded  # their variables travel along
        index = CatalogueIndex(tf.constant(catalogue.embeddings), tf.constant(catalogue.ids))
        # What is saved is its variables and what it computes, nothing that only Keras can read.
        self._variables, self._index = index.weights, lambda: index
        texts = {name: tf.constant(getattr(catalogue, column), tf.string) for name, column in TEXTS.items()}
        self._texts = {name: tf.Variable(values, trainable=False) for name, values in texts.items()}
        self._place = _table(tf.constant(catalogue.ids), tf.range(len(catalogue.ids), dtype=tf.int64))
        categories, numbers = np.unique(catalogue.categories.astype(bytes), return_inverse=True)
        self._category = _table(tf.constant(categories.tolist()), tf.range(len(categories), dtype=tf.int64))
        self._category_of_product = tf.Variable(numbers.astype(np.int64), trainable=False)

        columns = {column: query_model.specs[column] for column in query_model.columns}
        self._columns, self.has_history = sorted(columns), queries.has_history(query_model)
        reserved = (*schema.REQUEST, *schema.HISTORY)
        taken = sorted(set(columns) & set(reserved))
        if taken:
            raise InputError(
                query_model.path,
                f"a column {taken[0]}",
                f"no column named {', '.join(reserved[:-1])} or {reserved[-1]}, which are inputs of the served model",
                "Give the column of the purchases another name, and train again.",
            )
        most = tf.constant([min(MOST_SHOWN, len(catalogue.ids))], tf.int32)
        customer = {column: tf.constant([MISSING[spec.dtype]], spec.dtype) for column, spec in columns.items()}
        exclude = {EXCLUDE: tf.zeros([1, 0], tf.int64)}
        excluding = {**exclude, CATEGORY: tf.constant([""])}
        product = {schema.PRODUCT: tf.TensorSpec([None], tf.int64)}
        self.recommend = named_inputs(self._recommend, {**customer, K: most})
        self.recommend_excluding = named_inputs(self._recommend, {**customer, K: most, **excluding})
        self.similar_products = named_inputs(self._similar, {**product, K: most})
        self.query_embedding = named_inputs(lambda **raw: self._asked(raw), customer)
        self.candidate_embedding = named_inputs(self._embed_candidate, candidate_model.specs)
        if self.has_history:
            history = {HISTORY_PRODUCTS: tf.zeros([1, 0], tf.int64), HISTORY_AGES: tf.zeros([1, 0])}
            self.recommend_from_history = named_inputs(self._recommend, {**customer, **history, K: most, **exclude})

    def _asked(self, raw: Tensors, history: tuple[tf.Tensor, tf.Tensor] | None = None) -> Tensors:
        """What the query tower says of B rows: `embedding` [B, D] and, with a history, the own terms [B, H].

        Args:
            raw: The customer's columns, each [1 or B].
            history: Products and ages of purchases, each [1 or B, E]; by default what the tower knows itself.
        """
        shape = tf.shape(raw[self._columns[0]])
        for values in (*(raw[column] for column in self._columns[1:]), *(history or ())):
            shape = tf.broadcast_dynamic_shape(shape, tf.shape(values)[:1])
        inputs = {}
        for column in self._columns:
            values = raw[column]
            if values.dtype == tf.int64:
                values = _timed(values)
            inputs[column] = tf.broadcast_to(values, shape)
        wanted = ["embedding"]
        if self.has_history:
            wanted += [OWN_PRODUCTS, OWN_SCORES]
            products, ages = history or (tf.zeros([1, 0], tf.int64), tf.zeros([1, 0]))
            inputs |= {HISTORY_PRODUCTS: products, HISTORY_AGES: ages}
        outputs = self._query.signatures[saved_models.SERVING](**inputs)
        return {name: outputs[name] for name in wanted}

    def _embed_candidate(self, **raw: tf.Tensor) -> Tensors:
        return {"embedding": self._candidate.signatures[saved_models.SERVING](**raw)["embedding"]}

    def _recommend(
        self,
        k: tf.Tensor,
        exclude: tf.Tensor | None = None,
        category: tf.Tensor | None = None,
        history_products: tf.Tensor | None = None,
        history_ages: tf.Tensor | None = None,
        **raw: tf.Tensor,
    ) -> Tensors:
        history = None if history_products is None else (history_products, history_ages)
        asked = self._asked(raw, history)
        rows = _rows(asked["embedding"], k, *(given for given in (exclude, category) if given is not None))
        asked = {
            name: tf.broadcast_to(values, tf.concat([rows, tf.shape(values)[1:]], 0)) for name, values in asked.items()
        }
        left_out = None if exclude is None else self._at(exclude, rows)
        if left_out is not None and category is not None:
            left_out |= self._of_another_category(category)
        own = (self._place.lookup(asked[OWN_PRODUCTS]), asked[OWN_SCORES]) if self.has_history else None
        return self._best(asked["embedding"], k, left_out, own=own)

    def _similar(self, product_id: tf.Tensor, k: tf.Tensor) -> Tensors:
        rows = _rows(product_id, k)
        product_id = tf.broadcast_to(product_id, rows)
        place = self._place.lookup(product_id)
        queries = self._index().embeddings(tf.maximum(place, 0))
        left_out = self._at(product_id[:, None], rows) | (place < 0)[:, None]
        return self._best(queries, k, left_out, cosine=True)

    def _at(self, product_ids: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """bool [B, N]: the product ids [1 or B, E], where they are in the catalogue."""
        places = self._place.lookup(tf.broadcast_to(product_ids, tf.concat([rows, tf.shape(product_ids)[1:]], 0)))
        known = tf.where(places >= 0)  # [found, 2]
        cells = tf.stack([known[:, 0], tf.gather_nd(places, known)], axis=1)
        nowhere = tf.zeros(tf.concat([rows, [self._index().products]], 0), tf.bool)
        return tf.tensor_scatter_nd_update(nowhere, cells, tf.ones(tf.shape(cells)[:1], tf.bool))

    def _of_another_category(self, category: tf.Tensor) -> tf.Tensor:
        """bool [1 or B, N]; nothing where the category is ""."""
        other = self._category.lookup(category)[:, None] != self._category_of_product[None]
        return other & (category != "")[:, None]

    def _best(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        left_out: tf.Tensor | None,
        cosine: bool = False,
        own: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> Tensors:
        """The outputs; `k` [1 or B] is cut to the catalogue. See `CatalogueIndex.call`."""
        most = tf.clip_by_value(tf.reduce_max(k), 0, self._index().products)
        scores, places = self._index()(queries, k=most, left_out=left_out, cosine=cosine, own=own)
        shown = (scores > float("-inf")) & (tf.range(most)[None] < k[:, None])
        outputs = {
            IDS: tf.where(shown, self._index().ids(places), NO_PRODUCT),
            SCORES: tf.where(shown, scores, float("-inf")),
        }
        for name, values in self._texts.items():
            outputs[name] = tf.where(shown, tf.gather(values, places), "")
        return outputs


def _timed(values: tf.Tensor) -> tf.Tensor:
    """The clock is read only where it is asked for: a process that wants to be deterministic may not read it."""
    missing = values == NOW
    return tf.cond(
        tf.reduce_any(missing),
        lambda: tf.where(missing, tf.cast(tf.timestamp(), tf.int64), values),
        lambda: values,
    )


def _rows(*given: tf.Tensor) -> tf.Tensor:
    """[B] of tensors that have 1 or B rows."""
    rows = tf.shape(given[0])[:1]
    for tensor in given[1:]:
        rows = tf.broadcast_dynamic_shape(rows, tf.shape(tensor)[:1])
    return rows


def _table(keys: tf.Tensor, values: tf.Tensor) -> tf.lookup.StaticHashTable:
    """-1 for other keys."""
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1)


def write(folder: str, model: ServingModel) -> None:
    """Writes the SavedModel into `folder`."""
    signatures = {
        saved_models.SERVING: model.recommend,
        RECOMMEND: model.recommend,
        EXCLUDING: model.recommend_excluding,
        SIMILAR: model.similar_products,
        QUERY_EMBEDDING: model.query_embedding,
        CANDIDATE_EMBEDDING: model.candidate_embedding,
        **({FROM_HISTORY: model.recommend_from_history} if model.has_history else {}),
    }
    tf.saved_model.save(model, folder, signatures)
