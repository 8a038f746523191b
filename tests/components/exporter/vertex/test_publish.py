"""All steps after a release, as the Exporter's component calls them."""

import json
from typing import Any

import pytest

from components.common.errors import InputError
from components.exporter.vertex.publish import publish
from components.exporter.vertex.release import finished
from tests.components.exporter.vertex import releases
from tests.components.exporter.vertex.cloud import EVERYTHING, MODEL, PARENT, Cloud, document


def test_by_default_nothing_is_sent(cloud: Cloud) -> None:
    folder = cloud.release("one")
    assert publish(document(cloud, "one"), folder=folder) == {}
    assert cloud.server.requests == []


def test_after_a_no_nothing_is_sent_and_the_reason_is_repeated(cloud: Cloud) -> None:
    folder = cloud.release("one", verdict=releases.NO)
    assert publish(document(cloud, "one"), folder=folder, **EVERYTHING) == {}
    said = cloud.capsys.readouterr().out
    assert "Nothing is registered, deployed or indexed" in said
    assert "Recall@100 .31 is below popularity's .35" in said
    assert cloud.server.requests == []


def test_the_alias_moves_last(cloud: Cloud) -> None:
    folder = cloud.release("one")
    made = publish(document(cloud, "one"), folder=folder, **EVERYTHING)
    (index,), (endpoint,) = cloud.of("indexes"), cloud.of("endpoints")
    assert made == {"registered_model": f"{MODEL}@1", "index": index["name"], "endpoint": endpoint["name"]}
    kept = json.loads((cloud.bucket / "one/published.json").read_text())
    assert kept == {PARENT: {"model": f"{MODEL}@1", "index": index["name"], "endpoint": endpoint["name"]}}
    posted = [
        path.rpartition("/")[2].rpartition(":")[2] for method, path, _ in cloud.server.requests if method == "POST"
    ]
    assert posted == [
        *("upload", "import", "indexes", "indexEndpoints", "deployIndex"),
        *("endpoints", "deployModel", "mergeVersionAliases"),
    ]
    assert (cloud.champion, cloud.traffic) == ("1", {"1": 100})


@pytest.mark.parametrize("part", ["models:upload", "evaluations:import", "/indexes", ":deployIndex", ":deployModel"])
def test_whatever_fails_the_old_champion_stays_and_a_retry_goes_on(cloud: Cloud, part: str) -> None:
    publish(document(cloud, cloud.release("one").rpartition("/")[2]), folder="gs://bucket/one", **EVERYTHING)
    cloud.release("two")
    second = {**EVERYTHING, "index_name": "recs-2"}
    cloud.server.faults.add("refusal", "POST", part, 1, "PERMISSION_DENIED", "Not you.")
    with pytest.raises(InputError, match="Not you"):
        publish(document(cloud, "two"), folder="gs://bucket/two", **second)
    assert cloud.champion == "1"
    assert cloud.traffic["1"] == 100
    publish(document(cloud, "two"), folder="gs://bucket/two", **second)
    assert cloud.champion == "2"
    assert cloud.traffic == {"1": 0, "2": 100}
    assert len(cloud.versions) == len(cloud.of("indexes")) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_name": ""}, "model_name: found nothing, expected a name, because endpoint_name is shop"),
        ({"index_name": ""}, "index_name: found nothing"),
        ({"traffic": 200}, "--traffic"),
        ({"serving_image": ""}, "--serving-image"),
        ({"region": "here"}, "--region"),
        ({"index_name": 'a"b'}, "--index-name"),
    ],
)
def test_everything_is_checked_before_anything_is_sent(cloud: Cloud, changes: dict[str, Any], said: str) -> None:
    folder = cloud.release("one")
    with pytest.raises(InputError) as error:
        publish(document(cloud, "one"), folder=folder, **{**EVERYTHING, **changes})
    assert said in str(error.value)
    assert cloud.server.requests == []


def test_a_release_that_an_earlier_attempt_finished(cloud: Cloud) -> None:
    folder = cloud.release("one")
    found = finished(folder, "gs://bucket/model")
    assert found is not None
    assert found["model_version"] == "one"
    assert finished(folder, "gs://bucket/another") is None
    assert finished("gs://bucket/nothing", "gs://bucket/model") is None
    older = cloud.release("older", format_version=2)
    assert finished(older, "gs://bucket/model") is None
