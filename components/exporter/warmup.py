"""Warm-up requests: what TensorFlow Serving sends to a model before it takes the first customer's request.

https://www.tensorflow.org/tfx/serving/saved_model_warmup: a TFRecord file of PredictionLog messages. TensorFlow
Serving's own messages are not installed; the few fields that are needed are all strings and messages, which protobuf
writes alike, as a tag, a length and the content (https://protobuf.dev/programming-guides/encoding/). Their numbers:

PredictionLog.predict_log 6, PredictLog.request 1, PredictRequest.model_spec 1 and .inputs 2, a map of TensorProto,
ModelSpec.name 1 and .signature_name 3.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from components.common import saved_models, schema
from components.exporter.catalogue import Catalogue
from components.exporter.signatures import HISTORY_AGES, HISTORY_PRODUCTS, OF_PRODUCTS

FILE = "assets.extra/tf_serving_warmup_requests"
PURCHASES = 8  # of the history that customers are given
MODEL_NAME = "metro-recs"
PREDICT_LOG, REQUEST, MODEL_SPEC, INPUTS, NAME, SIGNATURE_NAME, KEY, VALUE = 6, 1, 1, 2, 1, 3, 1, 2
LENGTH_DELIMITED = 2  # the wire type


class Request(NamedTuple):
    """One call of a signature."""

    signature: str
    inputs: dict[str, np.ndarray]


def of(
    signatures: dict[str, saved_models.SavedModel], customers: dict[str, np.ndarray], catalogue: Catalogue
) -> list[Request]:
    """A request of one row and one of several, of every signature.

    Args:
        signatures: The served model, by signature.
        customers: Some rows of the query model's columns.
        catalogue: The products.
    """
    rows = len(next(iter(customers.values())))
    products = {**catalogue.columns, schema.PRODUCT: catalogue.ids}
    history = catalogue.ids[None, :PURCHASES]
    customers = {**customers, HISTORY_PRODUCTS: history, HISTORY_AGES: np.ones(history.shape)}
    requests = []
    for name, model in signatures.items():
        known = products if name in OF_PRODUCTS else customers
        for count in sorted({1, rows}):
            inputs = {}
            for column, spec in model.specs.items():
                value = known[column][:count] if column in known else model.defaults[column]
                inputs[column] = value.astype(spec.dtype.as_numpy_dtype)
            requests.append(Request(name, inputs))
    return requests


def write(saved_model: str, requests: list[Request]) -> None:
    """Writes the warm-up file of a SavedModel."""
    import tensorflow as tf

    path = os.path.join(saved_model, FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as writer:
        for request in requests:
            writer.write(encode(request))


def read(saved_model: str) -> list[Request]:
    """The requests of the warm-up file of a SavedModel, none where it has no such file."""
    import tensorflow as tf

    path = os.path.join(saved_model, FILE)
    if not os.path.exists(path):
        return []
    return [decode(record) for record in tf.data.TFRecordDataset(path).as_numpy_iterator()]


def encode(request: Request) -> bytes:
    """A request as a PredictionLog."""
    import tensorflow as tf

    spec = _field(NAME, MODEL_NAME.encode()) + _field(SIGNATURE_NAME, request.signature.encode())
    entries = b"".join(
        _field(INPUTS, _field(KEY, name.encode()) + _field(VALUE, tf.make_tensor_proto(value).SerializeToString()))
        for name, value in sorted(request.inputs.items())
    )
    return _field(PREDICT_LOG, _field(REQUEST, _field(MODEL_SPEC, spec) + entries))


def decode(log: bytes) -> Request:
    """The request in a PredictionLog that `encode` made."""
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    predict_log = dict(_fields(log))[PREDICT_LOG]
    signature, inputs = "", {}
    for number, content in _fields(dict(_fields(predict_log))[REQUEST]):
        parts = dict(_fields(content))
        if number == MODEL_SPEC:
            signature = parts[SIGNATURE_NAME].decode()
        else:
            inputs[parts[KEY].decode()] = tf.make_ndarray(tensor_pb2.TensorProto.FromString(parts[VALUE]))
    return Request(signature, inputs)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have the eighth bit."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of the fields of a message, all of them length-delimited."""
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        length, place = _read_varint(message, place)
        yield tag >> 3, message[place : place + length]
        place += length


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte <= 0x7F:
            return value, place
