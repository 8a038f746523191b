"""The previous champion put back: alias, traffic and index."""

import shutil

import pytest

from components.exporter.vertex import calls
from tests.components.exporter.vertex.cloud import ROLLBACK, Cloud


def promote(cloud: Cloud, *names: str, traffic: int = 100) -> None:
    for name in names:
        assert cloud.register(name).code == 0
        assert cloud.deploy(name, "--traffic", str(traffic)).code == 0


def test_after_two_promotions_there_are_two_ways_back(cloud: Cloud) -> None:
    promote(cloud, "one", "two", "three")
    assert cloud.traffic == {"2": 0, "3": 100}
    result = cloud(*ROLLBACK)
    assert result.code == 0, result.err
    assert "shop: version 2 100%" in result.out
    assert "recs: version 2 is champion in place of version 3" in result.out
    assert "/models/recs/versions/2" in result.out
    assert (cloud.champion, cloud.traffic) == ("2", {"2": 100, "3": 0})
    assert "default" in cloud.versions["2"]["versionAliases"]
    assert cloud.versions["3"]["labels"]["rolled-back"] == "true"
    # The version before that one was taken down: it is deployed again, on the machine that the champion has.
    again = cloud(*ROLLBACK)
    assert again.code == 0, again.err
    assert (cloud.champion, cloud.traffic["1"]) == ("1", 100)
    assert cloud.sent("POST", ":deployModel")[-1]["deployedModel"]["dedicatedResources"]["machineSpec"] == {
        "machineType": "n1-standard-4"
    }
    first = cloud(*ROLLBACK)
    assert first.code == 2
    assert "label champion-before of version 1: found none" in first.err
    assert cloud.champion == "1"


def test_a_canary_is_taken_back(cloud: Cloud) -> None:
    promote(cloud, "one")
    promote(cloud, "two", traffic=10)
    assert cloud.traffic == {"1": 90, "2": 10}
    cloud(*ROLLBACK)
    assert (cloud.champion, cloud.traffic) == ("1", {"1": 100, "2": 0})


def test_what_was_rolled_back_is_not_promoted_by_a_rerun_but_by_name(cloud: Cloud) -> None:
    promote(cloud, "one", "two")
    cloud(*ROLLBACK)
    rerun = cloud.register("two")
    assert rerun.code == 0
    assert "version 2 was rolled back: version 1 stays champion" in rerun.out
    assert cloud.champion == "1"
    forward = cloud(*ROLLBACK, "--to", "2")
    assert forward.code == 0, forward.err
    assert (cloud.champion, cloud.traffic) == ("2", {"1": 0, "2": 100})
    assert "rolled-back" not in cloud.versions["2"]["labels"]
    cloud(*ROLLBACK)
    assert cloud.champion == "1"
    promote(cloud, "three")
    assert (cloud.champion, cloud.versions["3"]["labels"]["champion-before"]) == ("3", "1")


def test_ended_halfway_it_goes_on_to_the_same_version(cloud: Cloud) -> None:
    promote(cloud, "one", "two", "three")
    cloud.server.faults.add("refusal", "POST", ":mergeVersionAliases", calls.ATTEMPTS)
    assert cloud(*ROLLBACK).code == 2
    assert (cloud.champion, cloud.traffic) == ("3", {"2": 100, "3": 0})
    assert cloud(*ROLLBACK).code == 0
    assert (cloud.champion, cloud.traffic) == ("2", {"2": 100, "3": 0})


def test_the_index_gets_the_embeddings_of_the_previous_champion(cloud: Cloud) -> None:
    for name, products in (("one", 3), ("two", 5)):
        cloud.release(name, products=products)
        cloud.register(name)
        assert cloud("index", "--release", f"gs://bucket/{name}", "--index-name", "recs").code == 0
    (index,) = cloud.of("indexes")
    assert index["indexStats"]["vectorsCount"] == "5"
    back = ("rollback", "--model-name", "recs", "--index-name", "recs")
    assert cloud(*back).code == 0
    assert cloud.of("indexes")[0]["indexStats"]["vectorsCount"] == "3"
    assert cloud.champion == "1"


def test_another_release_lies_where_the_previous_champion_s_lay(cloud: Cloud) -> None:
    promote(cloud, "one", "two")
    shutil.rmtree(cloud.bucket / "one")
    cloud.release("one", products=9)
    result = cloud(*ROLLBACK, "--index-name", "recs")
    assert result.code == 2
    assert "version 1: found another release in gs://bucket/one" in result.err
    assert cloud.champion == "2"


def test_what_is_deployed_again_runs_as_the_champion_does(cloud: Cloud) -> None:
    account = "serve@my-project.iam.gserviceaccount.com"
    for name in ("one", "two", "three"):
        assert cloud.register(name).code == 0
        assert cloud.deploy(name, "--serving-account", account, "--serving-machine", "n1-standard-8").code == 0
    for _ in range(2):
        assert cloud(*ROLLBACK).code == 0
    again = cloud.sent("POST", ":deployModel")[-1]["deployedModel"]
    assert again["model"].endswith("recs@1")
    assert again["serviceAccount"] == account
    assert again["dedicatedResources"]["machineSpec"]["machineType"] == "n1-standard-8"


def test_the_release_of_the_previous_champion_is_gone(cloud: Cloud) -> None:
    promote(cloud, "one", "two")
    (cloud.bucket / "one/release.json").unlink()
    result = cloud("rollback", "--model-name", "recs", "--endpoint-name", "shop", "--index-name", "recs")
    assert result.code == 2
    assert "version 1: found no release in gs://bucket/one" in result.err
    assert cloud.champion == "2"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model-name", "other"), "alias champion: found on no version"),
        (("--model-name", "Recs"), "--model-name: found 'Recs'"),
        (("--endpoint-name", "kiosk"), "--endpoint-name: found kiosk, expected one that is there: shop"),
        (("--to", "7"), "version 7: found versions 1, 2"),
    ],
)
def test_nothing_changes_where_something_is_wrong(cloud: Cloud, flags: tuple[str, ...], said: str) -> None:
    promote(cloud, "one", "two")
    result = cloud(*ROLLBACK, *flags)
    assert result.code == 2
    assert said in result.err
    assert (cloud.champion, cloud.traffic) == ("2", {"1": 0, "2": 100})
