"""The demo's purchases as a finished extraction with vocabularies, made once."""

import os

from components.common import storage
from components.data_extractor.extract import extract
from components.vocab_builder.build import build_vocabularies
from demo.data import prepare


def demo_log(cache: str = ".cache") -> str:
    """The folder with examples/ and vocabularies.json, cut as `make run` cuts them."""
    folder = f"{cache}/bench/demo"
    vocabularies = storage.join(folder, "vocabularies.json")
    if not os.path.exists(vocabularies):
        purchases, products = prepare(f"{cache}/demo/all")
        examples = storage.join(folder, "examples")
        if not os.path.exists(examples):
            extract(purchases=purchases, products=products, output_path=examples, catalogue_size=1500)
        build_vocabularies(examples=examples, feature_config="feature_config.yaml", output_path=vocabularies)
    return folder
