"""The search's command line: `python -m tuning --help`."""

from components.common import cli
from trainer_image.options import Options
from tuning.options import Search


def tune(options: Options, search: Search) -> None:
    """Trains with many settings and keeps those with the best validation Recall.

    The first training has the settings as given: the others are compared with it. Each is the Trainer's own command
    line in a process of its own. A tree-structured Parzen estimator (Optuna) proposes the settings; a training that is
    below the median of the others at the same epoch, from the 15th on, is given up. The test split decides nothing. A
    search that was ended, by Ctrl-C, SIGTERM or a crash, goes on when the same command is run again, within a training
    too.

    Args:
        options: The Trainer's flags; --output-path is the search's folder. In there: best/ with model/, and
            parameters.yaml and feature_config.yaml for the pipeline; tuning.json; tuning.png; trials/, with their logs.
        search: What is searched, and how long.
    """
    from tuning.search import tune

    tune(options, search)


if __name__ == "__main__":
    cli.run(tune)
