"""A champion is scored from its own SavedModels, on this run's purchases."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.errors import InputError
from components.evaluator import gate
from components.evaluator.evaluate import evaluate
from tests.components import fake_model

pytestmark = pytest.mark.usefixtures("charts")


def evaluated(world: dict[str, Any], tmp_path: Path, champion: str, **changes: Any) -> dict[str, Any]:
    return evaluate(**{**world, "champion": champion, "output_path": str(tmp_path / "out"), "ks": (1, 2), **changes})


def test_the_same_model_is_as_good_as_itself(
    world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FEWEST_CUSTOMERS", 4)
    document = evaluated(world, tmp_path, world["model"], must_beat="none")
    assert document["metrics"]["champion"] == document["metrics"]["model"]
    assert document["champion"] == {"model_version": "v1", "products_left_out": 0}
    assert document["verdict"]["promote"]
    assert "the difference is +0.000 (95% interval +0.000 to +0.000), within" in str(document["verdict"])


def test_another_catalogue_in_another_order(world: dict[str, Any], tmp_path: Path) -> None:
    """The champion knows 14, 11 and a product that is no longer sold, which none of these purchases can be of.

    Its scores of 14 and 11: ann 1 5, bob 2 2, cyd 0 3, dan 0 0. Rows: ann 11 first, ann 14 second, bob 13 not in its
    catalogue, cyd 14 second, dan 12 and ann 15 not in it.
    """
    champion = fake_model.write_model(
        tmp_path / "champion",
        {"ann": [1, 9, 5], "bob": [2, 9, 2], "cyd": [0, 9, 3], "dan": [0, 9, 0]},
        [14, 77, 11],
        k=1,
        model_version="v0",
    )
    document = evaluated(world, tmp_path, champion)
    figures = document["metrics"]["champion"]
    assert (figures["recall_1"]["value"], figures["recall_2"]["value"]) == (pytest.approx(1 / 6), pytest.approx(3 / 6))
    assert figures["coverage_10"]["value"] == 1.0
    assert document["champion"] == {"model_version": "v0", "products_left_out": 1}


def test_other_features_of_the_champion_are_read_for_it(world: dict[str, Any], tmp_path: Path) -> None:
    """Its query tower is asked for a column that the challenger's does not have: the city."""
    champion = fake_model.write_model(tmp_path / "champion", query_column="city")
    document = evaluated(world, tmp_path, champion)
    assert document["metrics"]["champion"]["recall_2"]["value"] == pytest.approx(
        document["metrics"]["model"]["recall_2"]["value"]
    )


def test_a_column_that_the_examples_lack(world: dict[str, Any], tmp_path: Path) -> None:
    champion = fake_model.write_model(tmp_path / "champion", query_column="store")
    refused(
        world, tmp_path, champion, f"the Examples' schema, for {champion}: found no store, expected store, a string"
    )


def test_a_column_of_another_type(world: dict[str, Any], tmp_path: Path) -> None:
    champion = fake_model.write_model(tmp_path / "champion", query_column="timestamp")
    refused(world, tmp_path, champion, "found timestamp, a int64, expected timestamp, a string")


def test_an_unreadable_champion_stops_the_run(world: dict[str, Any], tmp_path: Path) -> None:
    champion = shutil.copytree(world["model"], tmp_path / "champion")
    (champion / "query_model/saved_model.pb").write_bytes(b"not a graph")
    refused(world, tmp_path, str(champion), "champion/query_model: found damage")


def test_no_champion_where_one_was_named(world: dict[str, Any], tmp_path: Path) -> None:
    refused(world, tmp_path, str(tmp_path / "nowhere"), "nowhere")


def test_a_champion_whose_vectors_are_not_numbers(world: dict[str, Any], tmp_path: Path) -> None:
    champion = fake_model.write_model(tmp_path / "champion", {**fake_model.SCORES, "bob": [1, np.nan, 0, 0]})
    refused(world, tmp_path, champion, "champion/query_model, cust_person_id bob: found an embedding with NaN")


def test_a_champion_of_which_nothing_is_sold_any_more(world: dict[str, Any], tmp_path: Path) -> None:
    champion = fake_model.write_model(tmp_path / "champion", {"ann": [1, 2]}, [77, 78], k=1)
    refused(world, tmp_path, champion, "no product of its catalogue")


def refused(world: dict[str, Any], tmp_path: Path, champion: str, message: str) -> None:
    """The evaluation fails with this message and leaves nothing that an Exporter could obey."""
    with pytest.raises(InputError) as error:
        evaluated(world, tmp_path, champion)
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_verdict_is_written(world: dict[str, Any], tmp_path: Path) -> None:
    evaluated(world, tmp_path, "", floors={"all": 0.99})
    document = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert document["verdict"]["promote"] is False
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    for reason in document["verdict"]["reasons"]:
        assert reason["text"].replace("'", "&#39;") in page
