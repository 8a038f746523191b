"""A process of the Trainer imports no more than it needs."""

import subprocess
import sys

PROGRAM = """
import importlib.util, sys
import trainer_image.train
companions = "matplotlib", "pandas", "scipy", "sklearn"
assert not set(companions) & set(sys.modules), sorted(set(companions) & set(sys.modules))
assert all(importlib.util.find_spec(name) for name in companions)  # fails for a module that is kept out
import keras, tensorflow
assert tensorflow.keras.Model is not keras.Model  # TFRS's own, Keras 2
"""


def test_keras_comes_without_its_companions_and_they_can_be_imported_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
