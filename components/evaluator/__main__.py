"""`python -m components.evaluator --help`."""

from components.common import cli
from components.evaluator.evaluate import evaluate

if __name__ == "__main__":
    cli.run(evaluate)
