"""The Exporter: a trained model's towers in, a proven release out."""

import os

# tensorflow-recommenders needs tf.keras to be Keras 2, which must be chosen before TensorFlow is imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
