"""The Trainer's command line: `python -m trainer_image.main --help`."""

from components.common import cli
from trainer_image.train import train

if __name__ == "__main__":
    cli.run(train)
