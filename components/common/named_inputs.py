"""Signatures of SavedModels whose inputs have names and defaults. Imports TensorFlow only when one is made."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def named_inputs(
    function: "Callable[..., dict[str, tf.Tensor]]", inputs: "Mapping[str, tf.Tensor | tf.TensorSpec]"
) -> Any:
    """A tf.function with named inputs; a tensor among them is its input's default.

    tf.saved_model.save takes a signature's defaults from those of the Python function, so it is given a parameter for
    each input.
    """
    import tensorflow as tf

    names = list(inputs)

    def named(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        return function(**dict(zip(names, values, strict=True)))

    parameters, specs = [], []
    for name, value in inputs.items():
        default = inspect.Parameter.empty if isinstance(value, tf.TensorSpec) else value
        parameters.append(inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default))
        specs.append(tf.TensorSpec([None] * len(value.shape), value.dtype, name))
    named.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return tf.function(named, input_signature=specs, autograph=False)  # there is nothing to convert
