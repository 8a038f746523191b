"""Runs SavedModels, a model's and a release's, with TensorFlow alone, without a line of the trainer's code."""

import copy
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from components.common import schema, storage
from components.common.errors import InputError
from components.common.model_metadata import FILE as METADATA
from components.common.model_metadata import TRAIN_AGAIN, read_metadata, training_seconds

__all__ = [
    "METADATA",
    "TRAIN_AGAIN",
    "SavedModel",
    "distinct",
    "named",
    "product_columns",
    "read_metadata",
    "training_seconds",
]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: no CUDA notes on a CPU machine

QUERY_MODEL, CANDIDATE_MODEL, RETRIEVAL_MODEL = "query_model", "candidate_model", "saved_model"
SERVING = "serving_default"
OWN_PRODUCTS, OWN_SCORES = "own_products", "own_scores"  # outputs of a query model with a history: see queries
BATCH = 4096


class SavedModel:
    """One signature of a SavedModel.

    Args:
        folder: A local model folder.
        name: The SavedModel in it, such as query_model.
        signature: The signature, such as recommend.

    Raises:
        InputError: not there, not readable, or without that signature.
    """

    def __init__(self, folder: str, name: str, signature: str = SERVING):
        from components.common.bare_tensorflow import tf

        # On GPUs scores would be rounded to 10 bits, and no longer be those that a CPU serves.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.path = storage.join(folder, name)
        if not os.path.exists(storage.join(self.path, "saved_model.pb")):
            raise InputError(self.path, "no saved_model.pb", f"the {name} of the Trainer", TRAIN_AGAIN)
        try:
            with storage.plain(self.path) as path:
                self.loaded = tf.saved_model.load(path)  # kept: a signature does not keep its variables alive
        except Exception as error:  # TensorFlow reads nothing else here, and meets damage with errors of every kind
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise InputError(self.path, f"damage ({reason})", "a readable SavedModel", TRAIN_AGAIN) from error
        self._use(signature)

    def _use(self, signature: str) -> None:
        import tensorflow as tf

        if signature not in self.loaded.signatures:
            found = f"signatures {sorted(self.loaded.signatures)}"
            raise InputError(self.path, found, f"the signature {signature}", TRAIN_AGAIN)
        self.signature = self.loaded.signatures[signature]
        self.specs = dict(sorted(self.signature.structured_input_signature[1].items()))
        kinds = {tf.string: "string", tf.int64: "int64", tf.float32: "float", tf.int32: "int32"}
        # What has a second dimension is no column of a table: products to exclude, a history.
        self.columns = {name: kinds[spec.dtype] for name, spec in self.specs.items() if spec.shape.rank != 2}
        self.outputs = sorted(self.signature.structured_outputs)
        self.defaults = _defaults(self.path, signature)

    def another(self, signature: str) -> "SavedModel":
        """Another signature of the same SavedModel, which is loaded once.

        Raises:
            InputError: it has no such signature.
        """
        other = copy.copy(self)
        other._use(signature)
        return other

    def __call__(self, raw: dict[str, np.ndarray], batch: int = BATCH) -> dict[str, np.ndarray]:
        """Runs in batches: {column: [R or 1, ...]} to {output: [R, ...]}.

        Rows of own terms, which end with the longest one of their batch, are filled up to the longest one of all.

        Args:
            raw, batch: See `batches`.
        """
        parts = [part for _, part in self.batches(raw, batch)]
        return {name: _joined(name, [part[name] for part in parts]) for name in parts[0]}

    def batches(self, raw: dict[str, np.ndarray], batch: int = BATCH) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Runs batch by batch: yields the number of the first row, and the outputs {output: [b, ...]}.

        Columns that the model does not read are ignored; those that are not given have the signature's defaults, which
        TensorFlow records and does not read back itself.

        Args:
            raw: Columns of R rows, or of one that stands for all.
            batch: Rows at a time.
        """
        import tensorflow as tf

        given = {column: raw.get(column, self.defaults.get(column)) for column in self.specs}
        inputs = {column: values for column, values in given.items() if values is not None}
        rows = max(len(values) for values in inputs.values())
        for start in range(0, rows, batch):
            part = {
                column: tf.constant(values if len(values) < rows else values[start : start + batch], spec.dtype)
                for column, spec in self.specs.items()
                if (values := inputs.get(column)) is not None
            }
            yield start, {name: value.numpy() for name, value in self.signature(**part).items()}

    def embed(self, raw: dict[str, np.ndarray], key: str) -> np.ndarray:
        """The embeddings of raw columns.

        Args:
            raw: {column: [R]}.
            key: The column that names a row in an error.

        Returns:
            float32 [R, D].

        Raises:
            InputError: the model returns something else, or numbers that are not finite.
        """
        return self.checked(self(raw), raw, key)

    def checked(self, outputs: dict[str, np.ndarray], raw: dict[str, np.ndarray], key: str) -> np.ndarray:
        """The embeddings among the outputs of raw columns; see `embed`."""
        embedding = outputs.get("embedding")
        if embedding is None or embedding.ndim != 2:
            found = {name: value.shape for name, value in outputs.items()}
            raise InputError(self.path, f"outputs {found}", "embedding [rows, width]", TRAIN_AGAIN)
        bad = np.flatnonzero(~np.isfinite(embedding).all(axis=1))
        if len(bad):
            raise InputError(
                f"{self.path}, {named(raw, key, bad[0])}",
                f"an embedding with NaN or infinity ({len(bad)} of {len(embedding)} rows)",
                "finite numbers",
                "Training diverged: lower --learning-rate and run the Trainer again.",
            )
        return embedding


def named(raw: dict[str, np.ndarray], key: str, row: int) -> str:
    """What errors call a row of raw columns: by the column `key`, or by the first one where that is not given."""
    values = raw.get(key, next(iter(raw.values()), np.array(["left out"], object)))
    value = values[row if len(values) > 1 else 0]
    return f"{key} {value.decode(errors='replace') if isinstance(value, bytes) else value}"


def _joined(name: str, parts: list[np.ndarray]) -> np.ndarray:
    """One output of all batches."""
    fill = {OWN_PRODUCTS: schema.NO_PRODUCT, OWN_SCORES: 0}.get(name)
    if fill is None:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    filled = [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=fill) for part in parts]
    return np.concatenate(filled)


def _defaults(path: str, signature: str) -> dict[str, np.ndarray]:
    """The values that a signature gives to inputs which are left out."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    with open(storage.join(path, "saved_model.pb"), "rb") as file:
        document = saved_model_pb2.SavedModel.FromString(file.read())
    recorded = document.meta_graphs[0].signature_def[signature].defaults
    return {name: tf.make_ndarray(value) for name, value in recorded.items()}


def product_columns(
    catalogue: list[str], products: dict[str, dict[str, Any]], columns: Mapping[str, str], where: str
) -> dict[str, np.ndarray]:
    """The catalogue as raw candidate columns.

    Args:
        catalogue: Product ids in the order of the index.
        products: The product lookup of metadata.json.
        columns: Column to type, as the candidate model asks for them.
        where: metadata.json, for the error.

    Returns:
        {column: [N]}; product_id is always among them.

    Raises:
        InputError: a product or one of its columns is not in the lookup.
    """
    for product in catalogue:
        missing = [column for column in columns if column != schema.PRODUCT and column not in products.get(product, {})]
        if product not in products or missing:
            raise InputError(
                f"{where}, field products, product {product}",
                f"no {', '.join(missing)}" if product in products else "nothing",
                "every product of the model's catalogue, with the columns that the model reads",
                "Use examples, and a metadata.json, that have what the model's feature config names.",
            )
    types = {"string": object, "int64": np.int64, "float": np.float32}
    raw = {
        column: np.array([products[product][column] for product in catalogue], types[kind])
        for column, kind in columns.items()
        if column != schema.PRODUCT
    }
    return {schema.PRODUCT: np.array([int(product) for product in catalogue], np.int64), **raw}


def distinct(raw: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of raw columns, in the order of their first appearance.

    Args:
        raw: {column: [R]}.

    Returns:
        first, index: the row where each distinct row [U] appears first, and the distinct row of each row [R].
    """
    codes = np.zeros(len(next(iter(raw.values()))), np.int64)
    for values in raw.values():
        column = pa.array(values).dictionary_encode()
        pairs = codes * len(column.dictionary) + column.indices.to_numpy()
        codes = pa.array(pairs).dictionary_encode().indices.to_numpy().astype(np.int64)
    _, first = np.unique(codes, return_index=True)
    return first, codes
