"""The index in Vector Search: created, replaced as a whole, deployed once."""

import json
from pathlib import Path

import pytest

from tests.components.exporter.vertex import releases
from tests.components.exporter.vertex.cloud import Cloud
from tests.servers.vertex_faults import Kind


def index(cloud: Cloud, name: str, *flags: str) -> tuple[int, str, str]:
    return cloud("index", "--release", f"gs://bucket/{name}", "--index-name", "recs", *flags)


def test_an_index_is_created_and_deployed(cloud: Cloud) -> None:
    cloud.release("one")
    code, out, err = index(cloud, "one", "--index-endpoint-name", "search")
    assert code == 0, err
    (body,) = cloud.sent("POST", "/indexes")
    config = json.loads((cloud.bucket / "one/index.json").read_text())["config"]
    assert body["metadata"] == {"config": config, "contentsDeltaUri": "gs://bucket/one/embeddings"}
    (made,) = cloud.of("indexes")
    assert made["indexUpdateMethod"] == "BATCH_UPDATE"
    assert made["labels"]["model-version"] == "one"
    assert made["indexStats"] == {"vectorsCount": "3"}
    (endpoint,) = cloud.of("indexEndpoints")
    assert endpoint["publicEndpointEnabled"] is True
    (deployed,) = endpoint["deployedIndexes"]
    assert deployed["id"] == f"index_recs_{made['name'].rpartition('/')[2]}"
    assert "created the index recs of 3 products" in out
    assert "console.cloud.google.com/vertex-ai/locations/europe-west3/indexes/" in out


def test_the_next_release_replaces_all_of_it(cloud: Cloud) -> None:
    cloud.release("one", products=5)
    cloud.release("two", products=3)
    index(cloud, "one", "--index-endpoint-name", "search")
    code, out, err = index(cloud, "two", "--index-endpoint-name", "search")
    assert code == 0, err
    changes = [body for method, path, body in cloud.server.requests if method == "PATCH" and "metadata" in body]
    assert [body["metadata"] for body in changes] == [
        {"contentsDeltaUri": "gs://bucket/two/embeddings", "isCompleteOverwrite": True}
    ]
    (made,) = cloud.of("indexes")
    assert made["indexStats"] == {"vectorsCount": "3"}
    assert made["labels"]["model-version"] == "two"
    assert len(cloud.sent("POST", ":deployIndex")) == 1
    assert "the index is deployed as index_recs_" in out


def test_the_same_release_again_changes_nothing(cloud: Cloud) -> None:
    cloud.release("one")
    index(cloud, "one", "--index-endpoint-name", "search")
    changes = [method for method, _, _ in cloud.server.requests if method != "GET"]
    code, out, _ = index(cloud, "one", "--index-endpoint-name", "search")
    assert code == 0
    assert "the index recs holds this release already" in out
    assert [method for method, _, _ in cloud.server.requests if method != "GET"] == changes


@pytest.mark.parametrize("kind", ["refusal", "operation", "answer"])
@pytest.mark.parametrize(
    ("method", "part"),
    [("POST", "/indexes"), ("PATCH", "/indexes/"), ("POST", "/indexEndpoints"), ("POST", ":deployIndex")],
)
def test_what_breaks_midway_is_found_or_done_again(cloud: Cloud, kind: Kind, method: str, part: str) -> None:
    cloud.release("one")
    cloud.server.faults.add(kind, method, part)
    code, _, err = index(cloud, "one", "--index-endpoint-name", "search")
    assert code == 0, err
    assert "trying again" in err
    (made,) = cloud.of("indexes")
    assert (made["indexStats"], made["labels"]["model-version"]) == ({"vectorsCount": "3"}, "one")
    assert len(made["deployedIndexes"]) == len(cloud.of("indexEndpoints")) == 1


def test_content_that_vector_search_refuses_keeps_the_old_one(cloud: Cloud) -> None:
    cloud.release("one")
    cloud.release("two")
    (cloud.bucket / "two/embeddings/embeddings.json").write_text('{"id": "1", "embedding": [0.5]}\n')
    index(cloud, "one")
    code, _, err = index(cloud, "two")
    assert code == 2
    assert "filling the index recs: found a refusal: Invalid index content: 1 has 1 dimensions instead of 2" in err
    assert cloud.of("indexes")[0]["labels"]["model-version"] == "one"
    assert index(cloud, "one")[0] == 0


def test_an_index_of_another_width(cloud: Cloud) -> None:
    cloud.release("one", dimensions=2)
    cloud.release("two", dimensions=4)
    index(cloud, "one")
    code, _, err = index(cloud, "two")
    assert code == 2
    assert "index recs, dimensions: found 2, expected 4" in err
    assert cloud.of("indexes")[0]["labels"]["model-version"] == "one"


@pytest.mark.parametrize("config", ["{}", '{"config": {"dimensions": 3}}', '{"config": 3}'])
def test_a_configuration_of_another_width_than_the_embeddings(cloud: Cloud, config: str) -> None:
    cloud.release("one")
    (cloud.bucket / "one/index.json").write_text(config)
    code, _, err = index(cloud, "one")
    assert code == 2
    assert "index.json, field config.dimensions: found" in err
    assert cloud.server.requests == []


def test_a_local_release_goes_to_the_bucket(cloud: Cloud, tmp_path: Path) -> None:
    release = releases.write(tmp_path / "release", "one")
    result = cloud("index", "--release", release, "--index-name", "recs", "--staging", "gs://bucket/releases")
    assert result.code == 0, result.err
    (body,) = cloud.sent("POST", "/indexes")
    assert body["metadata"]["contentsDeltaUri"].startswith("gs://bucket/releases/one-")
