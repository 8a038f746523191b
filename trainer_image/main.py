"""The Trainer's command line: `python -m trainer_image.main --help`, or `python main.py --help` in this folder."""

import os
import sys

if __spec__ is None:  # a file was started, and Python looks for modules in its folder: ours would hide others' there
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [os.path.dirname(here), *(path for path in sys.path if os.path.realpath(path) != here)]

from components.common import cli
from trainer_image.options import Options


def train(options: Options) -> None:
    """Trains a two-tower retrieval model and writes it as SavedModels.

    A run that was ended continues when the same command is run again. SIGTERM writes a checkpoint first and ends with
    exit code 75. Where output_path holds a finished model, the new one goes into a folder of its own in it, which the
    file `latest` names from then on.

    Args:
        options: See there.
    """
    options.check()
    from trainer_image.train import train  # only now: TensorFlow and Keras take seconds

    train(options, again=True)


if __name__ == "__main__":
    cli.run(train)
