"""The released model's recommendations for a block of customers, by its own signatures."""

import os
from typing import Any

import numpy as np

from components.common import storage
from components.common.errors import InputError
from components.common.schema import REQUEST
from components.exporter.signatures import CATEGORY, EXCLUDE, EXCLUDING, IDS, NO_PRODUCT, RECOMMEND, SCORES, K
from components.exporter.vertex.release import EXPORT_AGAIN

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

NAMES = "product_names"


class Recommender:
    """One signature of a release's saved_model.

    Args:
        folder: A local saved_model/.
        excluding: Take the signature that leaves products out.

    Attributes:
        columns: The customers' columns to their types.

    Raises:
        InputError: no SavedModel, or without the signature, its inputs or its outputs.
    """

    def __init__(self, folder: str, excluding: bool):
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)  # a GPU scores as a CPU does
        self.folder, self.excluding = folder, excluding
        if not os.path.exists(os.path.join(folder, "saved_model.pb")):
            raise InputError(folder, "no saved_model.pb", "the saved_model of the Exporter", EXPORT_AGAIN)
        with storage.plain(folder) as path:
            self.loaded = tf.saved_model.load(path)  # kept: a signature does not keep its variables alive
        name = EXCLUDING if excluding else RECOMMEND
        wanted = {K, EXCLUDE, CATEGORY} if excluding else {K}
        signature = self.loaded.signatures.get(name)
        inputs = dict(signature.structured_input_signature[1]) if signature else {}
        outputs = set(signature.structured_outputs) if signature else set()
        if signature is None or wanted - set(inputs) or {IDS, NAMES, SCORES} - outputs:
            found = f"{name} with inputs {sorted(inputs)}, outputs {sorted(outputs)}" if signature else f"no {name}"
            expected = f"the signature {name} with {', '.join(sorted(wanted))} and {IDS}, {NAMES}, {SCORES}"
            raise InputError(f"{folder}, signatures", found, expected, EXPORT_AGAIN)
        self.signature, self.inputs = signature, inputs
        kinds = {tf.string: "string", tf.int64: "int64", tf.float32: "float"}
        self.columns = {column: kinds[spec.dtype] for column, spec in inputs.items() if column not in REQUEST}

    def __call__(self, raw: dict[str, np.ndarray], k: int, exclude: np.ndarray) -> dict[str, np.ndarray]:
        """The best products of each customer.

        Args:
            raw: {column: [B]}.
            k: How many products at most.
            exclude: Product ids not to show, int64 [B, E], filled up with NO_PRODUCT; ignored unless `excluding`.

        Returns:
            product_ids int64, product_names bytes, scores float32, each [B, K]; NO_PRODUCT where there is none further.
        """
        import tensorflow as tf

        given: dict[str, Any] = {name: raw[name] for name in self.columns}
        rows = len(next(iter(given.values())))
        given[K] = np.full(rows, k, np.int32)
        if self.excluding:
            given |= {EXCLUDE: exclude, CATEGORY: np.full(rows, b"", object)}
        feeds = {name: tf.constant(value, self.inputs[name].dtype) for name, value in given.items()}
        outputs = self.signature(**feeds)
        return {name: outputs[name].numpy() for name in (IDS, NAMES, SCORES)}


def padded(bought: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Rows of different lengths as int64 [B, E].

    Args:
        bought: int64 [P].
        starts: Where each row begins in it, and the end, [B + 1].
    """
    lengths = np.diff(starts)
    rows = np.full((len(lengths), max(1, int(lengths.max(initial=0)))), NO_PRODUCT, np.int64)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = bought[starts[0] : starts[-1]]
    return rows
