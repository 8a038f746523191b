"""`python -m components.vocab_builder --help`."""

from components.common import cli
from components.vocab_builder.build import build_vocabularies

if __name__ == "__main__":
    cli.run(build_vocabularies)
