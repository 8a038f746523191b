"""A model with a history is measured with its own terms, which change who is first."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common import saved_models
from components.common.errors import InputError
from components.common.own_terms import OwnTerms
from components.evaluator import scoring
from components.evaluator.data import Split
from components.evaluator.evaluate import evaluate
from components.evaluator.models import Embedded
from tests.components import fake_history, fake_model

pytestmark = pytest.mark.usefixtures("charts")


@pytest.fixture(scope="module")
def with_history(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fake_history.write_model(tmp_path_factory.mktemp("history") / "model", model_version="v2")


@pytest.fixture(scope="module")
def document(world: dict[str, Any], with_history: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("evaluated") / "out"
    return evaluate(**{**world, "model": with_history}, champion=world["model"], output_path=str(output), ks=(1, 2, 3))


def test_recall_by_hand(document: dict[str, Any]) -> None:
    """Places: ann 11 second, behind 14, ann 14, bob 13 and cyd 14 first, dan 12 tied for the first, ann 15 none.

    Without the terms ann 14 is fourth and bob 13 ties with all.
    """
    recall = {k: document["metrics"]["model"][f"recall_{k}"]["value"] for k in (1, 2, 3)}
    assert recall == {k: pytest.approx(hits / 6) for k, hits in {1: 3.5, 2: 5, 3: 5}.items()}
    before = {k: document["metrics"]["champion"][f"recall_{k}"]["value"] for k in (1, 2, 3)}
    assert before == {k: pytest.approx(hits / 6) for k, hits in {1: 2.75, 2: 3.5, 3: 3.75}.items()}
    assert document["metrics"]["model"]["mrr"]["value"] == pytest.approx((1 / 2 + 1 + 1 + 1 + 3 / 4) / 6)


def test_slices_and_the_verdict_see_them_too(document: dict[str, Any]) -> None:
    """Repeats are ann 11, ann 14 (of validation), bob 13 and cyd 14."""
    repeat = next(part for part in document["slices"] if (part["group"], part["name"]) == ("history", "repeat"))
    assert repeat["metrics"]["model"]["recall_1"]["value"] == pytest.approx(3 / 4)
    assert repeat["metrics"]["champion"]["recall_1"]["value"] == pytest.approx((1 + 1 / 4 + 1) / 4)
    champion = next(reason for reason in document["verdict"]["reasons"] if reason["rule"] == "champion")
    assert f"Recall@3 is {5 / 6:.3f}, the champion's on the same purchases {3.75 / 6:.3f}" in champion["text"]


def test_a_champion_with_a_history_and_a_product_that_is_no_longer_sold(world: dict[str, Any], tmp_path: Path) -> None:
    """It knows 14, 77 and 11 in this order, and own terms of 77, which nobody can buy now.

    Scores of 14 and 11: ann 1 + 4 and 5, bob 2 2, cyd 0 + 4 and 3. Rows: ann 11 and ann 14 tie, cyd 14 is first.
    """
    champion = fake_history.write_model(
        tmp_path / "champion",
        {"ann": [1, 9, 5], "bob": [2, 9, 2], "cyd": [0, 9, 3], "dan": [0, 9, 0]},
        [14, 77, 11],
        {"ann": [(77, 0), (14, 0)], "bob": [(77, 1)], "cyd": [(14, 1), (14, 1)]},
        k=1,
    )
    document = evaluate(**world, champion=champion, output_path=str(tmp_path / "out"), ks=(1, 2))
    figures = document["metrics"]["champion"]
    assert (figures["recall_1"]["value"], figures["recall_2"]["value"]) == (pytest.approx(2 / 6), pytest.approx(3 / 6))
    assert document["champion"]["products_left_out"] == 1


def test_lists_hold_what_the_terms_lift() -> None:
    rng = np.random.default_rng(1)
    queries, candidates = rng.normal(size=(9, 4)).astype("f4"), rng.normal(size=(40, 4)).astype("f4")
    places = np.argsort(rng.random((9, 40)), axis=1)[:, :6]
    terms = rng.normal(size=(9, 6)).astype("f4")
    embedded = Embedded(np.arange(9), queries, candidates, np.arange(40), OwnTerms.of_rows(places, terms))
    nothing = np.zeros(9, np.int64)
    split = Split({}, nothing, nothing, nothing, nothing, nothing, np.array([], object), nothing)
    scores = queries.astype("f8") @ candidates.astype("f8").T
    np.put_along_axis(scores, places, np.take_along_axis(scores, places, axis=1) + terms, axis=1)
    lists = scoring.top(embedded.scorer(split, np.ones(40)).scores, np.arange(9), 40)
    assert lists.tolist() == np.argsort(-scores, axis=1)[:, :10].tolist()


def test_a_term_that_is_no_number_stops_the_run(world: dict[str, Any], tmp_path: Path) -> None:
    model = fake_history.write_model(
        tmp_path / "model", alter=lambda outputs: {**outputs, "own_scores": outputs["own_scores"] / 0.0}
    )
    with pytest.raises(InputError, match=r"query_model, cust_person_id ann, own terms: found inf for product 14"):
        evaluate(**{**world, "model": model}, output_path=str(tmp_path / "out"), ks=(1,))
    assert not (tmp_path / "out").exists()
    assert saved_models.read_metadata(model)["catalogue"] == [str(product) for product in fake_model.CATALOGUE]


def test_what_the_model_learned_of_validation_the_baselines_know_too(world: dict[str, Any], tmp_path: Path) -> None:
    """A model without a history knows it too where it was trained on both splits; sold as below."""
    model = fake_model.write_model(tmp_path / "model", refit={"through": "validation"})
    document = evaluate(**{**world, "model": model}, output_path=str(tmp_path / "out"), ks=(1, 2))
    assert document["known_splits"] == document["learned_splits"] == ["train", "validation"]
    assert document["metrics"]["popularity"]["recall_1"]["value"] == pytest.approx((4 / 3) / 6)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "what the model has learned from, and what every baseline" in page
    with pytest.raises(InputError, match="train without --refit"):
        evaluate(**{**world, "model": model}, output_path=str(tmp_path / "other"), ks=(1,), split="validation")


def test_what_the_model_knows_of_validation_the_baselines_know_too(world: dict[str, Any], tmp_path: Path) -> None:
    """Sold until the test: 11, 12 and 14 thrice each, 13 once. Of ann's and bob's purchases two are of validation."""
    model = fake_history.write_model(tmp_path / "model", history={"through": "validation", "purchases": 10})
    document = evaluate(**{**world, "model": model}, output_path=str(tmp_path / "out"), ks=(1, 2))
    assert document["known_splits"] == ["train", "validation"]
    popularity = document["metrics"]["popularity"]["recall_1"]["value"]
    # ann 11 and 14, cyd 14 and dan 12 are each one of three best sellers; of train alone, two were one of two.
    assert popularity == pytest.approx((4 / 3) / 6)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "train and validation" in page
    assert "has learned from\ntrain alone" in page
    with pytest.raises(InputError, match=r"--split validation, for .*model: found a model that knows the purchases"):
        evaluate(**{**world, "model": model}, output_path=str(tmp_path / "other"), ks=(1,), split="validation")
    champion = {"champion": model, "split": "validation", "output_path": str(tmp_path / "other")}
    with pytest.raises(InputError, match="train without --refit and with --history-through train"):
        evaluate(**{**world, **champion}, ks=(1,))
