"""Versions behind an endpoint: who gets which share of the traffic, and what is taken down."""

import pytest
from google.cloud import aiplatform_v1 as vertex

from components.exporter.vertex.endpoint import traffic_split
from tests.components.exporter.vertex.cloud import MODEL, Cloud
from tests.servers.vertex_faults import Kind


def test_the_first_version_gets_all_traffic_and_the_next_its_share(cloud: Cloud) -> None:
    cloud.register("one")
    first = cloud.deploy("one", "--traffic", "10", "--serving-machine", "n1-standard-8", "--max-replicas", "3")
    assert first.code == 0, first.err
    assert cloud.traffic == {"1": 100}
    (body,) = cloud.sent("POST", ":deployModel")
    assert body["deployedModel"]["model"] == f"{MODEL}@1"
    assert body["trafficSplit"] == {"0": 100}
    assert body["deployedModel"]["dedicatedResources"] == {
        "machineSpec": {"machineType": "n1-standard-8"},
        "minReplicaCount": 1,
        "maxReplicaCount": 3,
    }
    cloud.register("two")
    second = cloud.deploy("two", "--traffic", "10")
    assert cloud.traffic == {"1": 90, "2": 10}
    assert sum(cloud.sent("POST", ":deployModel")[1]["trafficSplit"].values()) == 100
    assert "shop: version 1 90%, version 2 10%" in second.out
    assert "console.cloud.google.com/vertex-ai/online-prediction/locations/europe-west3/endpoints/" in second.out


def test_the_share_grows_without_another_deployment(cloud: Cloud) -> None:
    for name in ("one", "two"):
        cloud.register(name)
        cloud.deploy(name, "--traffic", "10")
    for traffic, expected in ((10, {"1": 90, "2": 10}), (50, {"1": 50, "2": 50}), (100, {"1": 0, "2": 100})):
        assert cloud.deploy("two", "--traffic", str(traffic)).code == 0
        assert cloud.traffic == expected  # the champion before it stays, for a rollback
    assert len(cloud.sent("POST", ":deployModel")) == 2
    assert len([path for method, path, _ in cloud.server.requests if method == "PATCH" and "/endpoints/" in path]) == 2


def test_versions_without_traffic_go_but_for_the_one_before(cloud: Cloud) -> None:
    for name in ("one", "two", "three"):
        cloud.register(name)
        assert cloud.deploy(name).code == 0
    assert cloud.traffic == {"2": 0, "3": 100}
    cloud.register("four")
    cloud.deploy("four", "--traffic", "0")
    assert cloud.traffic == {"3": 100, "4": 0}


def test_who_has_most_keeps_the_rest() -> None:
    models = [vertex.DeployedModel(id=str(number), model_version_id=str(number)) for number in (1, 2, 3)]
    for split, new, traffic, expected in (
        ({"1": 80, "2": 20}, "0", 30, {"0": 30, "1": 70}),
        ({"1": 20, "2": 80}, "0", 30, {"0": 30, "2": 70}),
        ({"1": 20, "2": 80}, "2", 30, {"2": 30, "1": 70}),
        ({"3": 100}, "3", 40, {"3": 40, "2": 60}),  # of those without any, the newest
        ({"1": 100}, "0", 100, {"0": 100}),
        ({"1": 100}, "0", 0, {"1": 100}),
    ):
        found = traffic_split(vertex.Endpoint(deployed_models=models, traffic_split=split), new, traffic)
        assert found == expected
        assert sum(found.values()) == 100


@pytest.mark.parametrize(
    ("kind", "part"),
    [("operation", ":deployModel"), ("answer", ":deployModel"), ("refusal", "/endpoints"), ("answer", "/endpoints")],
)
def test_what_breaks_midway_is_found_or_done_again(cloud: Cloud, kind: Kind, part: str) -> None:
    cloud.register("one")
    cloud.server.faults.add(kind, "POST", part)
    result = cloud.deploy("one")
    assert result.code == 0, result.err
    assert "trying again" in result.err
    assert cloud.traffic == {"1": 100}


@pytest.mark.parametrize("kind", ["refusal", "operation"])
@pytest.mark.parametrize(("method", "part"), [("POST", ":undeployModel"), ("PATCH", "/endpoints/")])
def test_a_change_that_fails_may_be_made_again(cloud: Cloud, kind: Kind, method: str, part: str) -> None:
    for name in ("one", "two"):
        cloud.register(name)
        cloud.deploy(name)
    cloud.register("three")
    cloud.deploy("three", "--traffic", "50")
    if kind == "refusal" or method == "POST":  # a patch of an endpoint is no operation
        cloud.server.faults.add(kind, method, part)
    assert cloud.deploy("three").code == 0
    cloud.register("four")
    assert cloud.deploy("four").code == 0
    assert cloud.traffic == {"3": 0, "4": 100}


def test_a_deployment_that_is_refused(cloud: Cloud) -> None:
    cloud.register("one")
    cloud.server.faults.add("operation", "POST", ":deployModel", 1, "RESOURCE_EXHAUSTED", "No quota of CPUs.")
    cloud.server.faults.add("operation", "POST", ":deployModel", 9, "INVALID_ARGUMENT", "The container does not start.")
    result = cloud.deploy("one")
    assert result.code == 2
    assert "deploying to shop: found a refusal: The container does not start" in result.err
    assert cloud.traffic == {}


def test_a_release_that_is_not_registered(cloud: Cloud) -> None:
    cloud.release("one")
    result = cloud.deploy("one")
    assert result.code == 2
    assert "model recs: found no version of gs://bucket/one" in result.err
    assert not cloud.of("endpoints")


def test_two_endpoints_of_one_name(cloud: Cloud) -> None:
    cloud.register("one")
    client = vertex.EndpointServiceClient
    from components.common.google import Where

    for _ in range(2):
        where = Where()
        where.client(client).create_endpoint(parent=where.parent, endpoint=vertex.Endpoint(display_name="shop"))
    result = cloud.deploy("one")
    assert result.code == 2
    assert "--endpoint-name: found 2 named 'shop'" in result.err
    assert not cloud.sent("POST", ":deployModel")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--traffic", "101"), "--traffic: found 101, expected a percentage, 0 to 100"),
        (("--traffic", "-1"), "--traffic"),
        (("--min-replicas", "0"), "1 <= min <= max"),
        (("--min-replicas", "3", "--max-replicas", "2"), "1 <= min <= max"),
        (("--serving-machine", "big"), "--serving-machine"),
        (("--serving-account", "me"), "iam.gserviceaccount.com"),
        (("--endpoint-name", ""), "--endpoint-name"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_sent(cloud: Cloud, flags: tuple[str, ...], said: str) -> None:
    cloud.release("one")
    result = cloud.deploy("one", *flags)
    assert result.code == 2
    assert said in result.err
    assert cloud.server.requests == []
