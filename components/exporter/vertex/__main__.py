"""`python -m components.exporter.vertex --help`."""

from components.common import cli
from components.exporter.vertex.commands import ABOUT, COMMANDS

if __name__ == "__main__":
    cli.run_commands(COMMANDS, ABOUT)
