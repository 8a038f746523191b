"""Imports Keras without its optional companions, which take a third of the time that a Trainer needs to start.

Wherever they are installed, Keras imports Matplotlib to draw galleries, scikit-learn with SciPy to wrap models, and
pandas to read data frames. The Trainer does none of this; whoever needs them afterwards imports them as ever. Where
Keras was imported before, nothing changes.
"""

import sys

_COMPANIONS = [name for name in ("matplotlib", "pandas", "scipy", "sklearn") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_COMPANIONS))  # type: ignore[arg-type]  # None makes their import fail
try:
    import keras
    import tensorflow as tf

    tf.keras.layers  # noqa: B018  TFRS's Keras 2 is imported when it is asked for
finally:
    for _name in _COMPANIONS:
        del sys.modules[_name]

__all__ = ["keras", "tf"]
