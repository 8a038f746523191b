"""The proof, on releases that are right and on ones that are wrong in one thing each."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common import example_set
from components.common.errors import InputError
from components.exporter import warmup
from components.exporter.catalogue import Catalogue
from components.exporter.serving_model import ServingModel
from components.exporter.verify import verify
from tests.components import fake_model
from tests.components.exporter import releases

Verify = Callable[..., dict[str, Any]]


@pytest.fixture
def proof(world: dict[str, str], tmp_path: Path) -> Verify:
    """Builds a release, verifies it and returns what was found."""

    def run(model: str = world["model"], recall: dict[str, float] = releases.RECALL, **changes: Any) -> dict[str, Any]:
        built = changes.pop("built_from", model)
        release = releases.build(tmp_path / "release", built, world["examples"], warm_as=world["model"], **changes)
        evaluation = releases.write_evaluation(tmp_path / "evaluation", recall)
        with example_set.opened(world["examples"]) as examples:
            return verify(model, examples, evaluation, release)[0]

    return run


def test_what_is_proven(proof: Verify) -> None:
    assert proof() == {
        "purchases": 6,
        "queries": 4,
        "max_embedding_difference": 0.0,
        "recall_1": 2.75 / 6,
        "recall_2": 3.5 / 6,
        "max_recall_difference": 0.0,
        "k": 4,
        "tolerance": 1e-5,
        "lists": 4,
        "max_score_difference": 0.0,
        "similar_products": 4,
        "warmup_requests": 6,
        "mismatches": 0,
    }


def test_real_valued_scores_agree_within_the_tolerance(proof: Verify, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scores = {customer: rng.normal(size=64) for customer in fake_model.SCORES}
    candidates = rng.normal(size=(4, 64))
    model = fake_model.write_model(tmp_path / "model", scores, candidates=candidates)
    exact = np.array([scores[customer].astype("f4") for customer in scores]).astype("f8") @ candidates.astype("f4").T
    places = {customer: list(np.argsort(-row)) for customer, row in zip(scores, exact, strict=True)}
    bought = [(customer, product - 11) for customer, product in fake_model.TEST]
    recall = {"recall_1": sum(places[customer][0] == product for customer, product in bought) / 6}
    result = proof(model, recall)
    assert result["max_recall_difference"] == 0
    assert 0 < result["max_score_difference"] < 1e-5


TIED_RECALL = {"recall_2": 5 / 6 * 2 / 4}


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose scores all tie."""
    scores = {customer: [1, 1, 1, 1] for customer in fake_model.SCORES}
    return fake_model.write_model(tmp_path_factory.mktemp("tied") / "model", scores)


def test_either_order_of_tied_products_is_right(proof: Verify, tied: str) -> None:
    assert proof(tied, TIED_RECALL, alter=taken([3, 2, 1, 0]))["mismatches"] == 0


def taken(places: list[int]) -> Callable[[Catalogue], Catalogue]:
    """The products at some places."""

    def alter(products: Catalogue) -> Catalogue:
        parts = products._asdict()
        return Catalogue(**{name: part if name == "columns" else part[places] for name, part in parts.items()})

    return alter


def swapped(column: str) -> Callable[[Catalogue], Catalogue]:
    """The second and third product with each other's id, name or the like."""
    return lambda products: products._replace(**{column: getattr(products, column)[[0, 2, 1, 3]]})


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ("ids", "place 2 of 4: found product 13 with score 3, .*its first ids: 11 13 12 14"),
        ("names", "place 2 of 4: found product 12 with score 3, 'Молоко 3,2 %'"),
        ("subcategories", "place 2 of 4: found product 12 with score 3, .*'Milk'"),
        ("embeddings", "place 2 of 4: found product 13 with score 3"),
    ],
)
def test_an_index_with_two_products_swapped(proof: Verify, column: str, found: str) -> None:
    with pytest.raises(InputError, match=f"saved_model, recommend, customer ann, {found}") as error:
        proof(alter=swapped(column))
    assert "expected product 12 with score 3, 'Crème fraîche & Käse', 'Dairy', 'Cream' by the tow" in str(error.value)
    assert "their first ids: 11 12 13 14" in str(error.value)
    assert "Nothing is released" in error.value.remedy


def test_an_index_that_names_one_product_twice(proof: Verify, tied: str) -> None:
    """All scores tie, so only the repetition is wrong."""

    class Twice(ServingModel):
        def _best(self, *given: Any, **more: Any) -> dict[str, tf.Tensor]:
            outputs = super()._best(*given, **more)
            return {name: tf.gather(values, [0, 0, 2, 3], axis=1) for name, values in outputs.items()}

    with pytest.raises(InputError, match="customer ann, place 2 of 4: found product 11"):
        proof(tied, TIED_RECALL, kind=Twice)


def test_an_index_with_a_product_outside_the_catalogue(proof: Verify) -> None:
    with pytest.raises(InputError, match="customer ann, place 1 of 4: found product 99"):
        proof(alter=lambda products: products._replace(ids=np.array([99, 12, 13, 14])))


def test_an_index_without_its_last_product(proof: Verify) -> None:
    with pytest.raises(InputError, match=r"saved_model: found \[3\] as the default of k, expected \[4\]"):
        proof(alter=taken([0, 1, 2]))


def test_an_index_of_other_embeddings(proof: Verify) -> None:
    """The order is right and every score is a hundredth too high."""
    larger = lambda products: products._replace(embeddings=products.embeddings * np.float32(1.01))  # noqa: E731
    with pytest.raises(InputError, match=r"found product 11 with score 4\.04.* expected product 11 with score 4,"):
        proof(alter=larger)


def test_a_query_tower_of_another_model(proof: Verify, tmp_path: Path) -> None:
    other: dict[str, Any] = {**fake_model.SCORES, "bob": [1, 1, 1.000003, 1]}
    built = fake_model.write_model(tmp_path / "other", other)
    with pytest.raises(
        InputError, match=r"query_embedding, customer bob, number 3: found 1\.00000[23]\d*, expected 1, as by"
    ):
        proof(built_from=built)


def test_a_candidate_tower_of_another_model(proof: Verify, tmp_path: Path) -> None:
    built = fake_model.write_model(tmp_path / "other", candidates=np.diag([1, 1, 1, 2]))
    with pytest.raises(
        InputError, match="candidate_embedding, product 14, number 4: found 2, expected 1, as by the tow"
    ):
        proof(built_from=built)


def test_exclusions_that_are_not_honoured(proof: Verify) -> None:
    """ann bought 11 and 12 in training."""

    class Forgetful(ServingModel):
        def _at(self, product_ids: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
            return tf.zeros_like(super()._at(product_ids, rows))

    with pytest.raises(InputError, match="recommend_excluding, customer ann, all categories, place 1 of 4") as error:
        proof(kind=Forgetful)
    assert error.value.found.startswith("product 11 with score 4")
    assert error.value.expected.startswith("product 13 with score 2")


def test_a_category_that_is_not_honoured(proof: Verify) -> None:
    class Generous(ServingModel):
        def _of_another_category(self, category: tf.Tensor) -> tf.Tensor:
            return tf.zeros_like(super()._of_another_category(category))

    with pytest.raises(InputError, match="recommend_excluding, customer ann, one category, place 2 of 4") as error:
        proof(kind=Generous)
    assert error.value.expected.startswith("no further product")


def test_similar_products_with_the_product_itself(proof: Verify) -> None:
    class Vain(ServingModel):
        def _similar(self, product_id: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
            queries = self._index().embeddings(tf.maximum(self._place.lookup(product_id), 0))
            return self._best(queries, k, None, cosine=True)

    with pytest.raises(InputError, match="similar_products, product 11, place 1 of 4: found product 11 with score 1"):
        proof(kind=Vain)


def test_no_warm_up_requests(proof: Verify) -> None:
    with pytest.raises(InputError, match="tf_serving_warmup_requests: found no request"):
        proof(warm=False)


def test_a_warm_up_request_of_another_model(world: dict[str, str], tmp_path: Path) -> None:
    release = releases.build(tmp_path / "release", world["model"], world["examples"])
    other = warmup.Request("recommend", {"cust_person_id": np.array([b"ann"], object)})
    warmup.write(f"{release}/saved_model", [other])
    evaluation = releases.write_evaluation(tmp_path / "evaluation")
    found = pytest.raises(InputError, match=r"request 0 \(recommend\): found inputs \['cust_person_id'\]")
    with example_set.opened(world["examples"]) as examples, found:
        verify(world["model"], examples, evaluation, release)


def test_a_recall_that_is_no_number(proof: Verify) -> None:
    with pytest.raises(InputError, match=r"evaluation\.json: found the number NaN, which is not finite"):
        proof(recall={"recall_1": float("nan"), "recall_2": 3.5 / 6})


@pytest.mark.parametrize("value", [0.3, 0.7])
def test_another_recall_than_the_evaluators(proof: Verify, value: float) -> None:
    with pytest.raises(InputError, match=r"field metrics\.model\.recall_1\.value: found") as error:
        proof(recall={"recall_1": value, "recall_2": 3.5 / 6})
    assert "expected 0.4583333333333333, the Recall of the release" in str(error.value)


def test_an_evaluation_of_other_purchases(world: dict[str, str], tmp_path: Path) -> None:
    release = releases.build(tmp_path / "release", world["model"], world["examples"])
    evaluation = releases.write_evaluation(tmp_path / "evaluation", rows=7)
    found = pytest.raises(InputError, match="field rows: found 7, expected 6, the purchases of the test split")
    with example_set.opened(world["examples"]) as examples, found:
        verify(world["model"], examples, evaluation, release)


def test_an_evaluation_without_recall(proof: Verify) -> None:
    with pytest.raises(InputError, match=r"field metrics\.model: found no Recall"):
        proof(recall={"mrr": 0.5})


@pytest.mark.parametrize("part", ["query_model", "candidate_model"])
def test_a_model_without_a_tower(proof: Verify, world: dict[str, str], tmp_path: Path, part: str) -> None:
    model = shutil.copytree(world["model"], tmp_path / "model")
    shutil.rmtree(model / part)
    with pytest.raises(InputError, match=f"model/{part}: found no saved_model.pb"):
        proof(str(model), built_from=world["model"])


def test_nothing_of_the_trainer_is_imported() -> None:
    code = (
        "import sys, components.exporter.verify;"
        "print([name for name in ('trainer_image', 'tensorflow_recommenders', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
