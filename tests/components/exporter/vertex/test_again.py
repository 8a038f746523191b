"""Steps that are run again after something has changed: what must not come back, and what must not be lost."""

import json
from typing import Any

import pytest

from components.common.errors import InputError
from components.exporter.vertex import vector_search
from components.exporter.vertex.publish import publish
from components.exporter.vertex.release import FINGERPRINT, read
from tests.components.exporter.vertex.cloud import EVERYTHING, IMAGE, ROLLBACK, Cloud, document


def published(cloud: Cloud, name: str, **changes: Any) -> dict[str, Any]:
    folder = f"gs://bucket/{name}" if (cloud.bucket / name).exists() else cloud.release(name, products=len(name))
    return publish(document(cloud, name), folder=folder, **{**EVERYTHING, **changes})


def holds(cloud: Cloud) -> int:
    """How many products the index has."""
    (index,) = cloud.of("indexes")
    return int(index["indexStats"]["vectorsCount"])


def test_a_retry_brings_nothing_of_a_rolled_back_version_back(cloud: Cloud) -> None:
    published(cloud, "one")
    published(cloud, "three")
    assert (cloud.champion, cloud.traffic, holds(cloud)) == ("2", {"1": 0, "2": 100}, 5)
    assert cloud(*ROLLBACK, "--index-name", "recs").code == 0
    before = (cloud.champion, cloud.traffic, holds(cloud))
    assert before == ("1", {"1": 100, "2": 0}, 3)
    assert set(published(cloud, "three")) == {"registered_model"}
    assert (cloud.champion, cloud.traffic, holds(cloud)) == before
    assert "version 2 was rolled back: version 1 stays champion" in cloud.capsys.readouterr().out


def test_a_retry_of_what_has_been_followed_changes_nothing(cloud: Cloud) -> None:
    published(cloud, "one")
    published(cloud, "three")
    published(cloud, "one")
    assert (cloud.champion, cloud.traffic, holds(cloud)) == ("2", {"1": 0, "2": 100}, 5)


def test_the_same_model_exported_again_is_the_same_release(cloud: Cloud) -> None:
    for folder, fingerprint in (("one", "a"), ("again", "b")):
        cloud.release(folder)
        path = cloud.bucket / folder / "release.json"
        release = json.loads(path.read_text())
        release["model_version"] = "v1"
        release["files"] = {"saved_model/saved_model.pb": {"sha256": "x"}}
        release["files"][f"saved_model/{FINGERPRINT}"] = {"sha256": fingerprint}
        path.write_text(json.dumps(release))
    first, second = (read(f"gs://bucket/{folder}") for folder in ("one", "again"))
    assert first.digest == second.digest
    first.document["files"]["saved_model/saved_model.pb"] = {"sha256": "y"}
    assert first.digest != second.digest


def test_another_export_of_a_model_that_was_rolled_back_is_not_promoted(cloud: Cloud) -> None:
    published(cloud, "one")
    published(cloud, "three")
    assert cloud(*ROLLBACK).code == 0
    cloud.release("other", products=7)  # other names of products, say, of the same weights
    path = cloud.bucket / "other/release.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_version": "three"}))
    published(cloud, "other")
    assert set(cloud.versions) == {"1", "2", "3"}
    assert (cloud.champion, cloud.traffic) == ("1", {"1": 100, "2": 0})


def test_an_index_that_was_being_filled_is_not_taken_for_filled(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    published(cloud, "one")
    label, calls = vector_search._label, []

    def killed(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:  # the content is new, and nobody has said so yet
            raise KeyboardInterrupt
        return label(*given)

    with monkeypatch.context() as patch:
        patch.setattr(vector_search, "_label", killed)
        with pytest.raises(KeyboardInterrupt):
            published(cloud, "three")
    assert holds(cloud) == 5
    index = ("index", "--release", "gs://bucket/one", "--index-name", "recs")
    assert "holds 3 products" in cloud(*index).out
    assert holds(cloud) == 3


def test_the_rest_of_a_canary_s_traffic_is_the_champion_s(cloud: Cloud) -> None:
    published(cloud, "one")
    published(cloud, "three", traffic=10)
    assert cloud.traffic == {"1": 90, "2": 10}
    published(cloud, "seven", traffic=20)
    assert (cloud.champion, {number: share for number, share in cloud.traffic.items() if share}) == (
        "3",
        {"2": 80, "3": 20},
    )
    assert cloud(*ROLLBACK).code == 0
    assert (cloud.champion, cloud.traffic["2"]) == ("2", 100)


def test_a_rollback_leaves_no_endpoint_behind(cloud: Cloud) -> None:
    published(cloud, "one")
    published(cloud, "three")
    result = cloud("rollback", "--model-name", "recs")
    assert result.code == 2
    assert "shop serves version 2" in result.err
    assert "Add --endpoint-name shop" in result.err
    assert (cloud.champion, cloud.traffic) == ("2", {"1": 0, "2": 100})


def test_a_version_is_never_the_one_before_itself(cloud: Cloud) -> None:
    published(cloud, "one")
    version = cloud.server.resources[next(name for name in cloud.server.resources if name.endswith("recs@1"))]
    del version["labels"]["champion-before"]
    assert cloud(*ROLLBACK, "--to", "1").code == 0
    assert cloud.versions["1"]["labels"]["champion-before"] == "none"


def test_a_new_image_for_a_release_that_is_registered_is_refused(cloud: Cloud) -> None:
    assert cloud.register("one").code == 0
    newer = IMAGE.replace(":v1", ":v2")
    again = ("register", "--release", "gs://bucket/one", "--model-name", "recs", "--serving-image", newer)
    result = cloud(*again)
    assert result.code == 2
    assert f"found {IMAGE}, expected {newer}" in result.err


def test_an_index_without_its_configuration_stops_everything(cloud: Cloud) -> None:
    cloud.release("one")
    (cloud.bucket / "one/index.json").unlink()
    with pytest.raises(InputError, match="configuration of the index"):
        published(cloud, "one")
    assert not cloud.versions


def test_the_alias_can_wait_for_endpoint_and_index(cloud: Cloud) -> None:
    assert cloud.register("one", "--no-champion").code == 0
    assert (cloud.champion, list(cloud.versions)) == ("", ["1"])
    assert cloud.deploy("one", "--serving-account", "serve@my-project.iam.gserviceaccount.com").code == 0
    deployed = cloud.sent("POST", ":deployModel")[-1]["deployedModel"]
    assert deployed["serviceAccount"] == "serve@my-project.iam.gserviceaccount.com"
    assert cloud("promote", "--release", "gs://bucket/one", "--model-name", "recs").code == 0
    assert cloud.champion == "1"
    assert cloud("promote", "--release", cloud.release("two"), "--model-name", "recs").code == 2
