"""The proof of a release with own terms: what it covers, and that it fails where one of them is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common import example_set
from components.common.errors import InputError
from components.exporter.catalogue import Catalogue
from components.exporter.export import export
from components.exporter.serving_model import ServingModel
from components.exporter.verify import verify
from tests.components import fake_history
from tests.components.exporter import releases

Verify = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fake_history.write_model(tmp_path_factory.mktemp("history") / "model")


@pytest.fixture
def proof(world: dict[str, str], model: str, tmp_path: Path) -> Verify:
    """Builds a release, perhaps of another model, verifies it and returns what was found."""

    def run(built_from: str = model, **changes: Any) -> dict[str, Any]:
        release = releases.build(tmp_path / "release", built_from, world["examples"], warm_as=model, **changes)
        evaluation = releases.write_evaluation(tmp_path / "evaluation", fake_history.RECALL)
        with example_set.opened(world["examples"]) as examples:
            return verify(model, examples, evaluation, release)[0]

    return run


def test_what_is_proven(proof: Verify) -> None:
    found = proof()
    assert (found["recall_1"], found["recall_2"], found["max_recall_difference"]) == (3.5 / 6, 5 / 6, 0)
    assert (found["lists"], found["histories"], found["mismatches"], found["max_score_difference"]) == (4, 4, 0, 0)
    assert found["warmup_requests"] == 7


class Halved(ServingModel):
    """The terms count half in lists, though query_embedding names them right."""

    def _best(self, *given: Any, **more: Any) -> dict[str, tf.Tensor]:
        if more.get("own"):
            more["own"] = (more["own"][0], more["own"][1] / 2)
        return super()._best(*given, **more)


class Forgetful(ServingModel):
    """The history of a request is passed over."""

    def _asked(self, raw: Any, history: Any = None) -> Any:
        return super()._asked(raw, None if history is None else tuple(given[:, :0] for given in history))


class Proud(ServingModel):
    """A product with a term comes back though it is excluded."""

    def _best(self, queries: Any, k: Any, left_out: Any, *given: Any, **more: Any) -> dict[str, tf.Tensor]:
        if left_out is not None and more.get("own"):
            rows, places = tf.range(tf.shape(queries)[0], dtype=tf.int64), tf.maximum(more["own"][0], 0)
            cells = tf.stack([tf.broadcast_to(rows[:, None], tf.shape(places)), places], axis=2)
            left_out = tf.tensor_scatter_nd_update(left_out, cells, tf.zeros(tf.shape(places), tf.bool))
        return super()._best(queries, k, left_out, *given, **more)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Halved, "saved_model, recommend, customer ann, place 1 of 4: found product 11 with score 4"),
        (Forgetful, "saved_model, recommend_from_history, customer ann, with a history, place 1"),
        (Proud, "saved_model, recommend_excluding, customer "),
    ],
)
def test_lists_that_are_wrong(proof: Verify, kind: type[ServingModel], message: str) -> None:
    with pytest.raises(InputError, match=message):
        proof(kind=kind)


@pytest.mark.parametrize(
    ("histories", "found", "expected"),
    [
        ({**fake_history.HISTORIES, "bob": [(13, 1), (13, 3.0001)]}, "own product 13: found 2.9999", "expected 3,"),
        ({**fake_history.HISTORIES, "cyd": [(12, 3)]}, "customer cyd: found 1 own products: 12", "products: 11, as"),
        ({**fake_history.HISTORIES, "dan": [(12, 3)]}, "customer dan: found 1 own products: 12", "no own product"),
        ({"ann": [(14, 0)]}, "customer bob: found no own product", "1 own products: 13"),
    ],
)
def test_terms_of_another_model(proof: Verify, tmp_path: Path, histories: Any, found: str, expected: str) -> None:
    other = fake_history.write_model(tmp_path / "other", histories=histories)
    with pytest.raises(InputError, match=f"query_embedding, .*{found}.*{expected}"):
        proof(built_from=other)


def test_a_release_without_the_history(proof: Verify, world: dict[str, str]) -> None:
    with pytest.raises(InputError, match="query_embedding: found no own terms, expected own terms, as by the query"):
        proof(built_from=world["model"])


def test_an_index_of_other_ids_has_no_place_for_a_term(proof: Verify) -> None:
    def other(products: Catalogue) -> Catalogue:
        return products._replace(ids=np.array([11, 12, 13, 99]))

    with pytest.raises(InputError, match="customer ann, place 1 of 4"):
        proof(alter=other)


@pytest.mark.usefixtures("proof_in_this_process")
def test_a_release_from_end_to_end(world: dict[str, str], model: str, tmp_path: Path) -> None:
    evaluation = releases.write_evaluation(tmp_path / "evaluation", fake_history.RECALL)
    output = str(tmp_path / "release")
    export(model=model, examples=world["examples"], evaluation=evaluation, output_path=output)
    document = json.loads((tmp_path / "release/release.json").read_text())
    assert document["verification"]["histories"] == 4
    assert document["verification"]["warmup_requests"] == 14
    loaded = tf.saved_model.load(f"{output}/saved_model")
    found = loaded.recommend_from_history(
        history_products=tf.constant([[13]], tf.int64), history_ages=tf.constant([[0.0]]), k=tf.constant([2])
    )
    assert found["product_ids"].numpy().tolist() == [[13, 11]]
    assert found["scores"].numpy().tolist() == [[4, 0]]
