"""Warm-up requests, parsed by Google's own protobuf library from a description of TensorFlow Serving's messages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from components.exporter import warmup
from components.exporter.warmup import Request

# https://github.com/tensorflow/serving/tree/master/tensorflow_serving/apis: model.proto, predict.proto,
# prediction_log.proto. Message: {field: (number, type)}.
MESSAGES = {
    "ModelSpec": {"name": (1, "string"), "signature_name": (3, "string"), "version_label": (4, "string")},
    "Entry": {"key": (1, "string"), "value": (2, "tensorflow.TensorProto")},
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "Entry*"), "output_filter": (3, "string*")},
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictionLog": {"predict_log": (6, "PredictLog")},
}


def prediction_log() -> Any:
    """The class of PredictionLog; the map is described as what it is on the wire, a repeated entry."""
    described = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="log.proto", package="serving", syntax="proto3", dependency=["tensorflow/core/framework/tensor.proto"]
    )
    for message, fields in MESSAGES.items():
        written = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            label = described.LABEL_REPEATED if kind.endswith("*") else described.LABEL_OPTIONAL
            kind = kind.removesuffix("*")
            if kind == "string":
                written.field.add(name=name, number=number, label=label, type=described.TYPE_STRING)
            else:
                type_name = f".{kind}" if "." in kind else f".serving.{kind}"
                written.field.add(
                    name=name, number=number, label=label, type=described.TYPE_MESSAGE, type_name=type_name
                )
    pool = descriptor_pool.DescriptorPool()
    for name in ("types", "tensor_shape", "resource_handle", "tensor"):
        known = descriptor_pool.Default().FindFileByName(f"tensorflow/core/framework/{name}.proto")
        pool.AddSerializedFile(known.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("serving.PredictionLog"))


REQUESTS = [
    Request(
        "recommend",
        {
            "cust_person_id": np.array(["клиент 7".encode(), b"x" * 300], object),
            "revenue": np.array([np.nan, 1.5], np.float32),
            "k": np.array([10], np.int32),
        },
    ),
    Request("recommend_excluding", {"exclude": np.array([[2**63 - 1, -1]], np.int64), "category": np.array([b""])}),
]


def test_google_s_own_parser_reads_them(tmp_path: Path) -> None:
    warmup.write(str(tmp_path), REQUESTS)
    records = list(tf.data.TFRecordDataset(str(tmp_path / "assets.extra/tf_serving_warmup_requests")))
    for record, request in zip(records, REQUESTS, strict=True):
        log = prediction_log().FromString(record.numpy())
        found = log.predict_log.request
        assert (found.model_spec.name, found.model_spec.signature_name) == ("metro-recs", request.signature)
        assert sorted(entry.key for entry in found.inputs) == sorted(request.inputs)
        for entry in found.inputs:
            proto = tensor_pb2.TensorProto.FromString(entry.value.SerializeToString())
            expected = request.inputs[entry.key]
            assert proto.dtype == tf.as_dtype(tf.constant(expected).dtype).as_datatype_enum
            np.testing.assert_array_equal(tf.make_ndarray(proto), expected)
        assert log.SerializeToString(deterministic=True) == record.numpy()  # not a byte besides


def test_they_come_back(tmp_path: Path) -> None:
    warmup.write(str(tmp_path), REQUESTS)
    for found, request in zip(warmup.read(str(tmp_path)), REQUESTS, strict=True):
        assert found.signature == request.signature
        for name, value in request.inputs.items():
            np.testing.assert_array_equal(found.inputs[name], value)


def test_a_model_without_them(tmp_path: Path) -> None:
    assert warmup.read(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("value", "written"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**21, "80808001")]
)
def test_numbers_of_any_length(value: int, written: str) -> None:
    """300 is the example of protobuf's own documentation."""
    assert warmup._varint(value) == bytes.fromhex(written)
