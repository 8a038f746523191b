"""`make tune`: a search for better settings of the Trainer, on the data of the newest `make run`."""

import json

from components.common import cli, schema, storage
from components.common.saved_models import METADATA
from demo.newest import newest
from trainer_image.options import Options
from tuning.options import Search

MODEL, EXTRACTED, COUNTED = "trainer/model", "data-extractor/examples", "vocab-builder/vocabularies"
TOLD = ("epochs", "batch_size", "learning_rate", "warmup_steps", "seed", "top_k")  # what `make run` tells the Trainer


def tune(settings: Search, *, run: str = "", folder: str = "runs/demo", output_path: str = "runs/tune") -> None:
    """Searches for better settings than those of a run of the demo, on its data and with its feature config.

    `python -m tuning` does the same for other data.

    Args:
        settings: What is searched, and how long.
        run: Another run than the newest, such as runs/demo/default/metro-recs-training-…: one with the default config.
        folder: Where the runs are.
        output_path: The search's folder.
    """
    from tuning.search import tune

    tune(options_of(run or str(newest(folder, f"{MODEL}/{METADATA}", "model")), output_path), settings)


def options_of(run: str, output_path: str) -> Options:
    """What the run's Trainer was told, but for its output."""
    examples = storage.join(run, EXTRACTED)
    document = storage.read_json(storage.join(run, MODEL, METADATA), "the run's model")
    told = {name: document["hyperparameters"][name] for name in TOLD}
    return Options(
        tfrecords_path=examples,
        vocabularies_path=storage.join(run, COUNTED),
        metadata_path=storage.join(examples, schema.METADATA),
        output_path=output_path,
        feature_config=json.dumps(document["feature_config"]),
        **told,
    )


if __name__ == "__main__":
    cli.run(tune)
