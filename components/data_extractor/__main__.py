"""`python -m components.data_extractor --help`."""

from components.common import cli
from components.data_extractor.extract import extract

if __name__ == "__main__":
    cli.run(extract)
