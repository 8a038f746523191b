"""Product names in any script, from the product table through every component's command line to what is served."""

import json
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.common import saved_models, schema, staging, vocabularies
from tests.command_line import result_of
from tests.servers.storage import BUCKET, storage_server

pytestmark = pytest.mark.slow

CONFIG = """
query: {features: [{kind: id, name: cust_person_id, dim: 8}], layers: [8]}
candidate: {features: [{kind: text, name: art_name, dim: 8}], layers: [8]}
"""


class Call:
    """Runs a component's command line in this process, which has TensorFlow."""

    def __init__(self, capsys: pytest.CaptureFixture[str]):
        self.capsys = capsys

    def __call__(self, module: str, **flags: object) -> None:
        arguments = [module]
        for name, value in flags.items():
            arguments += [f"--{name.replace('_', '-')}", *str(value).split(" ")]
        done = result_of(partial(runpy.run_module, module, run_name="__main__"), self.capsys, *arguments)
        assert not done.code, done.err


def test_names_arrive_unchanged(small_log: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every path is gs://, but for the two tables of the retailer and the config."""
    call = Call(capsys)
    config = tmp_path / "features.yaml"
    config.write_text(CONFIG)
    with storage_server():
        folder = f"gs://{BUCKET}/run"
        examples, words, model = f"{folder}/examples", f"{folder}/vocabularies.json", f"{folder}/model"
        evaluation, release = f"{folder}/evaluation", f"{folder}/release"
        call(
            "components.data_extractor",
            purchases=small_log[0],
            products=small_log[1],
            output_path=examples,
            feature_config=config,
        )
        call("components.vocab_builder", examples=examples, feature_config=config, output_path=words)
        call(
            "trainer_image.main",
            tfrecords_path=examples,
            vocabularies_path=words,
            metadata_path=f"{examples}/metadata.json",
            output_path=model,
            feature_config=config,
            epochs=1,
            batch_size=64,
            top_k=30,
        )
        call(
            "components.evaluator",
            model=model,
            examples=examples,
            vocabularies=words,
            output_path=evaluation,
            ks="5 10",
            must_beat="none",  # one epoch teaches little
        )
        call("components.exporter", model=model, examples=examples, evaluation=evaluation, output_path=release)
        with staging.staged(folder) as local:
            check(local, small_log[1])


def check(folder: str, products: str) -> None:
    examples, words, model, release = (
        Path(folder, name) for name in ("examples", "vocabularies.json", "model", "release")
    )
    table = pq.read_table(products)
    names = dict(zip(table["product_id"].to_pylist(), table["art_name"].to_pylist(), strict=True))
    assert {ord(letter) > 127 for name in names.values() for letter in str(name)} == {True, False}
    assert any("\n" in str(name) for name in names.values())
    assert any('"' in str(name) for name in names.values())

    # Every product is recommended to this customer, by the retailer's own name of it.
    served = saved_models.SavedModel(str(release), saved_models.RETRIEVAL_MODEL)
    recommended = served({"cust_person_id": np.array([b"customer 0"], object)})
    named = zip(recommended["product_ids"][0].tolist(), recommended["product_names"][0].tolist(), strict=True)
    assert {id_: name.decode() for id_, name in named} == names
    lookup = schema.read_metadata(str(examples / schema.METADATA))["products"]
    assert {int(id_): product[schema.NAME] for id_, product in lookup.items()} == names

    # The model tells the names apart: a changed byte would have made a name out-of-vocabulary, one vector for all.
    trained = vocabularies.read_vocabularies(str(words))[schema.NAME]["tokens"]
    assert set(trained) <= set(names.values())
    candidates = saved_models.SavedModel(str(model), saved_models.CANDIDATE_MODEL)
    known = {id_: str(name) for id_, name in names.items() if name in trained}
    raw = {schema.NAME: np.array([name.encode() for name in known.values()], object)}
    embedded = dict(zip(known, candidates.embed(raw, schema.NAME), strict=True))
    for line in (release / "embeddings" / "embeddings.json").read_text(encoding="utf-8").splitlines():
        point = json.loads(line)
        if int(point["id"]) in embedded:
            np.testing.assert_allclose(point["embedding"], embedded.pop(int(point["id"])), rtol=1e-6)
    assert not embedded
    unknown = candidates.embed({schema.NAME: np.array([b"no such name"], object)}, schema.NAME)[0]
    assert not any(np.allclose(unknown, vector) for vector in candidates.embed(raw, schema.NAME))
