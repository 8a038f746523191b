"""`python -m components.exporter --help`."""

from components.common import cli
from components.exporter.export import export

if __name__ == "__main__":
    cli.run(export)
