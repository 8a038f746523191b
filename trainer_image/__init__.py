"""The Trainer: Keras 3 towers, tensorflow-recommenders' task and index, a custom loop under a strategy."""

import os

# tensorflow-recommenders needs tf.keras to be Keras 2; both must be chosen before TensorFlow is imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
