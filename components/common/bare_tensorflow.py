"""TensorFlow for those who only read and serve: `from components.common.bare_tensorflow import tf`.

TensorFlow's own import ends with Keras, all of it, which takes a third of the time. It does so for one thing: that an
optimizer in a SavedModel can be restored. Here it is told that there is no Keras, as it allows for, until it has been
imported; `tf.keras` works afterwards as ever. So does SciPy, which an old copy of Keras inside TensorFlow imports where
it is installed. Where TensorFlow was imported before, nothing changes.
"""

import sys

_UNUSED = ("keras.src.optimizers", "tf_keras.src.optimizers", "scipy")
_LEFT_OUT = [name for name in _UNUSED if name not in sys.modules]
sys.modules.update(dict.fromkeys(_LEFT_OUT))  # type: ignore[arg-type]  # None makes the import fail
try:
    import tensorflow as tf
finally:
    for _name in _LEFT_OUT:
        del sys.modules[_name]

__all__ = ["tf"]
