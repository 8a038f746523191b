"""The SavedModel of a release: its signatures, called with a batch of rows."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from components.common import schema, storage
from components.common.errors import InputError
from serving_image.catalogue import NOTHING, TEXTS, Catalogue
from serving_image.histories import History
from serving_image.rows import OPTIONS, Column, Row

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: no CUDA notes on a CPU machine

if TYPE_CHECKING:
    import tensorflow as tf

RECOMMEND, EXCLUDING, FROM_HISTORY = "recommend", "recommend_excluding", "recommend_from_history"
HISTORY_PRODUCTS, HISTORY_AGES = schema.HISTORY
EXPORT_AGAIN = "Run the Exporter again, or name another release."
DEFAULT_K = 100
MAX_CELLS = 1 << 16  # rows times excluded products and purchases in one call
WARM_UP = (1, 2, 32)  # rows


class Model:
    """Recommendations of one SavedModel.

    Args:
        folder: A local folder with saved_model.pb.

    Raises:
        InputError: not there, not readable, or without the signatures of an Exporter's model.
    """

    def __init__(self, folder: str):
        from components.common.bare_tensorflow import tf

        self.folder = folder
        self.loaded = _load(folder)  # kept: a signature does not keep its variables alive
        signatures = self.loaded.signatures
        if missing := {RECOMMEND, EXCLUDING} - set(signatures):
            raise InputError(folder, f"no signature {', '.join(sorted(missing))}", "an Exporter's model", EXPORT_AGAIN)
        inputs = signatures[RECOMMEND].structured_input_signature[1]
        kinds = {tf.string: "string", tf.int64: "int64", tf.int32: "int64", tf.float32: "float"}
        defaults = _defaults(folder)
        names = [name for name in inputs if name not in OPTIONS]
        if not names:
            raise InputError(folder, "no customer column", "at least one", EXPORT_AGAIN)
        self.columns = [
            Column(name, kinds[inputs[name].dtype], _default(kinds[inputs[name].dtype], defaults.get(name)))
            for name in sorted(names)
        ]
        self.dtypes = {name: inputs[name].dtype for name in names}
        self._recommend = _slim(signatures[RECOMMEND])
        self._excluding = _slim(signatures[EXCLUDING])
        # In releases of an earlier feature config, a customer's column may have the name, and keeps it.
        self.has_history = FROM_HISTORY in signatures and schema.HISTORY_OPTION not in names
        self._from_history: Any = _slim(signatures[FROM_HISTORY]) if self.has_history else None
        self.catalogue = self._products(signatures[RECOMMEND])
        self.default_k = min(int(defaults.get("k", DEFAULT_K)), len(self.catalogue))

    def __call__(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """The answer to each row: see `Catalogue.answers`."""
        plain = [place for place, row in enumerate(rows) if not row.exclude and not row.category and not row.history]
        if len(plain) == len(rows):
            return self._answers(rows)
        answers: list[Any] = [None] * len(rows)
        picky = [place for place, row in enumerate(rows) if (row.exclude or row.category) and not row.history]
        telling = [place for place, row in enumerate(rows) if row.history]
        for places in ([plain] if plain else []) + self._parts(rows, picky) + self._parts(rows, telling):
            for place, answer in zip(places, self._answers([rows[place] for place in places]), strict=True):
                answers[place] = answer
        return answers

    def warm_up(self) -> None:
        """Traces and runs what the first requests would wait for."""
        row = Row(tuple(column.default for column in self.columns), self.default_k, (), "")
        for size in WARM_UP:
            self([row] * size)
            self([row._replace(exclude=(int(self.catalogue.ids[0]),))] * size)
            if self.has_history:
                self([row._replace(history=History([int(self.catalogue.ids[0])], [1.0]))] * size)

    def _parts(self, rows: Sequence[Row], places: list[int]) -> list[list[int]]:
        """Places of rows that exclude or tell, in calls of bounded memory: few rows where one of them says much."""
        parts: list[list[int]] = []
        for place in sorted(places, key=lambda place: _width(rows[place])):
            widest = _width(rows[place])
            if not parts or (len(parts[-1]) + 1) * widest > MAX_CELLS:
                parts.append([])
            parts[-1].append(place)
        return parts

    def _answers(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        import tensorflow as tf

        ks = [min(row.k, len(self.catalogue)) for row in rows]
        inputs = {
            column.name: tf.constant(list(values), self.dtypes[column.name])
            for column, values in zip(self.columns, zip(*(row.values for row in rows), strict=True), strict=True)
        }
        inputs["k"] = tf.constant(ks if min(ks) < max(ks) else ks[:1], tf.int32)
        history = [row.history for row in rows if row.history] if rows[0].history else []
        if not (history or rows[0].exclude or rows[0].category):
            ids, scores = self._recommend(inputs)
            return self.catalogue.answers(ids.numpy(), scores.numpy(), ks)
        known = [[product for product in row.exclude if product in self.catalogue.known] for row in rows]
        inputs["exclude"] = tf.constant(_padded(known, NOTHING, np.int64))
        if history:
            inputs[HISTORY_PRODUCTS] = tf.constant(_padded([told.products for told in history], NOTHING, np.int64))
            inputs[HISTORY_AGES] = tf.constant(_padded([told.ages for told in history], 0, np.float32))
            ids, scores = self._from_history(inputs)
        else:
            inputs["category"] = tf.constant([row.category for row in rows])
            ids, scores = self._excluding(inputs)
        return self.catalogue.answers(ids.numpy(), scores.numpy(), ks)

    def _products(self, signature: Any) -> Catalogue:
        """Asks for more products than there are; a place too many comes without one."""
        import tensorflow as tf

        inputs = {column.name: tf.constant([column.default], self.dtypes[column.name]) for column in self.columns}
        k = 1 << 10
        while True:
            outputs = {name: value.numpy()[0] for name, value in signature(**inputs, k=tf.constant([k])).items()}
            ids = outputs["product_ids"]
            found = ids != NOTHING
            if len(ids) < k or not found.all():
                return Catalogue(ids[found], {name: outputs[name][found] for name in TEXTS})
            k *= 2


def _width(row: Row) -> int:
    return len(row.exclude) + (len(row.history.products) if row.history else 0)


def _padded(rows: Sequence[Sequence[float]], filler: int, dtype: Any) -> np.ndarray:
    """[B, E] of B lists, filled up to the longest; E is at least 1."""
    width = max(1, *map(len, rows))
    return np.array([[*row, *[filler] * (width - len(row))] for row in rows], dtype)


def _load(folder: str) -> Any:
    import tensorflow as tf

    if not os.path.exists(storage.join(folder, "saved_model.pb")):
        raise InputError(folder, "no saved_model.pb", "a release of the Exporter, or its saved_model", EXPORT_AGAIN)
    try:
        with storage.plain(folder) as path:
            return tf.saved_model.load(path)
    except Exception as error:  # TensorFlow reads nothing else here, and meets damage with errors of every kind
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(folder, f"damage ({reason})", "a readable SavedModel", EXPORT_AGAIN) from error


def _slim(signature: Any) -> Any:
    """The signature without its texts: TensorFlow leaves out what nobody fetches, copies of names first of all."""
    import tensorflow as tf

    specs = dict(signature.structured_input_signature[1])

    @tf.function(input_signature=[specs], autograph=False)
    def slim(inputs: dict[str, "tf.Tensor"]) -> tuple["tf.Tensor", "tf.Tensor"]:
        outputs = signature(**inputs)
        return outputs["product_ids"], outputs["scores"]

    return slim


def _defaults(folder: str) -> dict[str, Any]:
    """The defaults of the signature `recommend`, by input."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    with open(storage.join(folder, "saved_model.pb"), "rb") as file:
        document = saved_model_pb2.SavedModel.FromString(file.read())
    defaults = document.meta_graphs[0].signature_def[RECOMMEND].defaults
    return {name: np.ravel(tf.make_ndarray(value))[0] for name, value in defaults.items()}


def _default(kind: str, value: Any) -> Any:
    """The default as Python's type; without one, what says least."""
    if kind == "string":
        return value.decode(errors="replace") if isinstance(value, bytes) else ""
    return (int if kind == "int64" else float)(value or 0)
