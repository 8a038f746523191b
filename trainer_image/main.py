"""The Trainer's command line: `python -m trainer_image.main --help`."""

from components.common import cli
from trainer_image.options import Options


def train(options: Options) -> None:
    """Trains a two-tower retrieval model and writes it as SavedModels.

    A run that was ended continues when the same command is run again. SIGTERM writes a checkpoint first and ends with
    exit code 75.

    Args:
        options: See there.
    """
    options.check()
    from trainer_image.train import train  # only now: TensorFlow and Keras take seconds

    train(options)


if __name__ == "__main__":
    cli.run(train)
