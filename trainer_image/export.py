"""Writes the trained model: three SavedModels that take raw features."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.common import storage
from components.common.named_inputs import named_inputs
from trainer_image.export_history import Customers, Products
from trainer_image.features import Encoder
from trainer_image.history import History
from trainer_image.model import DTYPES, TwoTower
from trainer_image.repeats import Repeats
from trainer_image.towers import Tower


class Embedder(tf.Module):
    """Raw columns, each [B], to {"embedding": float32 [B, D]}."""

    def __init__(self, encoder: Encoder, tower: Tower):
        super().__init__()
        self.encoder, self.tower = encoder, tower

    @tf.function
    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": self.tower(self.encoder(raw))}


class Retriever(tf.Module):
    """Raw customer columns, each [B], to {"product_ids": int64 [B, k], "scores": float32 [B, k]}, best first."""

    def __init__(self, encoder: Encoder, tower: Tower, candidates: tf.Tensor, product_ids: tf.Tensor, k: int):
        super().__init__()
        self.encoder, self.tower = encoder, tower
        self.index = tfrs.layers.factorized_top_k.BruteForce(k=k)
        self.index.index(candidates, product_ids)

    @tf.function
    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        scores, product_ids = self.index(self.tower(self.encoder(raw)))
        return {"product_ids": product_ids, "scores": scores}


def write(folder: str, model: TwoTower, top_k: int) -> None:
    """Writes query_model/, candidate_model/ and saved_model/ into `folder`."""
    # On GPUs the index would hold products rounded to 10 bits, other ones than candidate_model computes on a CPU.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if model.history and model.repeats:
        _write_with_history(folder, model, model.history, model.repeats, top_k)
        return
    candidates = model.candidate_tower(model.encoded_catalogue)
    product_ids = tf.constant([int(product) for product in model.catalogue], tf.int64)
    query, candidate = model.query_encoder, model.candidate_encoder
    for name, module, columns in (
        ("query_model", Embedder(query, model.query_tower), query.columns),
        ("candidate_model", Embedder(candidate, model.candidate_tower), candidate.columns),
        ("saved_model", Retriever(query, model.query_tower, candidates, product_ids, top_k), query.columns),
    ):
        specs = {column: tf.TensorSpec([None], DTYPES[kind], column) for column, kind in columns.items()}
        signatures = {"serving_default": module.serve.get_concrete_function(**specs)}
        tf.saved_model.save(module, storage.join(folder, name), signatures)


def _write_with_history(folder: str, model: TwoTower, past: History, repeats: Repeats, top_k: int) -> None:
    customers, products = Customers(model, past), Products(model, repeats)

    def retrieve(**raw: tf.Tensor) -> dict[str, tf.Tensor]:
        return customers.retrieve(top_k, **raw)

    for name, module, serve, given in (
        ("query_model", customers, customers.embed, customers.specs()),
        ("candidate_model", products, products.embed, products.specs()),
        ("saved_model", customers, retrieve, customers.specs()),
    ):
        module.serve = named_inputs(serve, given)  # its captures are saved with the module
        tf.saved_model.save(module, storage.join(folder, name), {"serving_default": module.serve})
