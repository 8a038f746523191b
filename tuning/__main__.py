"""The search's command line: `python -m tuning --help`."""

from components.common import cli
from tuning.search import tune

if __name__ == "__main__":
    cli.run(tune)
