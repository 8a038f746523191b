"""Versions in the registry: uploaded once, whatever breaks on the way, and champion only when they are whole."""

import json
from pathlib import Path

import pytest

from components.exporter.vertex import calls
from tests.components.exporter.vertex import releases
from tests.components.exporter.vertex.cloud import IMAGE, MODEL, PARENT, Cloud
from tests.servers.vertex_faults import Kind

FLAGS = ("--model-name", "recs", "--serving-image", IMAGE)


def test_a_release_becomes_a_version_with_its_evaluation_and_then_the_champion(cloud: Cloud) -> None:
    result = cloud.register("one")
    assert result.code == 0, result.err
    (request,) = cloud.sent("POST", "models:upload")
    model = request["model"]
    assert request["modelId"] == "recs"
    assert model["artifactUri"] == "gs://bucket/one"
    assert model["containerSpec"] == {
        "imageUri": IMAGE,
        "predictRoute": "/predict",
        "healthRoute": "/health",
        "ports": [{"containerPort": 8080}],
    }
    assert "versionAliases" not in model
    assert "Recall@10 0.1860, Recall@100 0.4560" in model["versionDescription"]
    (evaluation,) = cloud.sent("POST", "evaluations:import")
    assert evaluation["modelEvaluation"]["metrics"] == releases.METRICS
    assert evaluation["modelEvaluation"]["metricsSchemaUri"] == "gs://bucket/one/metrics_schema.yaml"
    assert "recall_10" in (cloud.bucket / "one/metrics_schema.yaml").read_text()
    version = cloud.versions["1"]
    assert set(version["versionAliases"]) == {"champion", "default"}
    assert version["labels"].items() >= {"model-version": "one", "champion-before": "none"}.items()
    assert "version 1 is champion, the first one" in result.out
    assert "console.cloud.google.com/vertex-ai/models/locations/europe-west3/models/recs/versions/1" in result.out
    order = [path.rpartition(":")[2] for method, path, _ in cloud.server.requests if method == "POST"]
    assert order == ["upload", "import", "mergeVersionAliases"]
    assert json.loads((cloud.bucket / "one/published.json").read_text()) == {PARENT: {"model": f"{MODEL}@1"}}


def test_the_next_release_is_the_next_version_and_takes_the_alias(cloud: Cloud) -> None:
    cloud.register("one")
    result = cloud.register("two")
    assert "version 2 is champion in place of version 1" in result.out
    assert cloud.sent("POST", "models:upload")[1]["parentModel"] == MODEL
    assert cloud.champion == "2"
    assert cloud.versions["1"]["versionAliases"] == []
    assert cloud.versions["2"]["labels"]["champion-before"] == "1"


def test_the_same_release_again_changes_nothing(cloud: Cloud) -> None:
    cloud.register("one")
    cloud.register("two")
    before = json.dumps(cloud.versions)
    again = cloud.register("two")
    assert again.code == 0
    assert "version 2 of recs holds this release already" in again.out
    assert "version 2 is champion already" in again.out
    old = cloud.register("one")
    assert "version 1 was champion after version none; version 2, which followed, stays champion" in old.out
    assert json.dumps(cloud.versions) == before
    assert len(cloud.sent("POST", "models:upload")) == len(cloud.sent("POST", "evaluations:import")) == 2


def test_a_prebuilt_container_has_its_own_routes(cloud: Cloud) -> None:
    image = "europe-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
    assert (
        cloud("register", "--release", cloud.release("one"), "--model-name", "recs", "--serving-image", image).code == 0
    )
    model = cloud.sent("POST", "models:upload")[0]["model"]
    assert model["containerSpec"] == {"imageUri": image}
    assert model["artifactUri"] == "gs://bucket/one/saved_model"


@pytest.mark.parametrize("kind", ["refusal", "answer"])
@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("POST", "models:upload"),
        ("POST", "evaluations:import"),
        ("PATCH", "/models/"),
        ("POST", ":mergeVersionAliases"),
    ],
)
def test_what_may_pass_is_tried_again(cloud: Cloud, kind: Kind, method: str, part: str) -> None:
    cloud.server.faults.add(kind, method, part, times=2 if kind == "refusal" else 1)
    result = cloud.register("one")
    assert result.code == 0, result.err
    assert "trying again" in result.err
    assert list(cloud.versions) == ["1"]
    assert cloud.champion == "1"
    assert sum("evaluations/" in name for name in cloud.server.resources) == 1


def test_an_upload_that_fails_midway_is_made_again(cloud: Cloud) -> None:
    cloud.server.faults.add("operation", "POST", "models:upload", 2, "INTERNAL")
    assert cloud.register("one").code == 0
    assert (list(cloud.versions), cloud.champion) == (["1"], "1")


def test_polls_may_be_lost(cloud: Cloud) -> None:
    cloud.server.faults.add("refusal", "GET", "/operations/", 2)
    cloud.server.faults.add("answer", "GET", "/operations/", 1)
    assert cloud.register("one").code == 0
    assert len(cloud.sent("POST", "models:upload")) == 1


@pytest.mark.parametrize("status", ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED"])
def test_an_upload_that_never_works_leaves_the_alias_and_is_resumed_later(cloud: Cloud, status: str) -> None:
    cloud.register("one")
    fault = cloud.server.faults.add("operation", "POST", "models:upload", times=calls.ATTEMPTS, status=status)
    result = cloud.register("two")
    assert result.code == 2
    assert "registering recs: found" in result.err
    assert fault.times == 0
    assert (list(cloud.versions), cloud.champion) == (["1"], "1")
    assert cloud.register("two").code == 0
    assert (list(cloud.versions), cloud.champion) == (["1", "2"], "2")


def test_a_refused_upload_is_not_tried_again(cloud: Cloud) -> None:
    message = "Image cannot be pulled."
    cloud.server.faults.add("operation", "POST", "models:upload", 9, "INVALID_ARGUMENT", message)
    result = cloud.register("one")
    assert (result.code, cloud.versions) == (2, {})
    assert "registering recs: found a refusal: Image cannot be pulled" in result.err
    assert len(cloud.sent("POST", "models:upload")) == 1


def test_a_version_whose_evaluation_fails_does_not_carry_the_alias(cloud: Cloud) -> None:
    cloud.register("one")
    cloud.server.faults.add("refusal", "POST", "evaluations:import", 1, "INVALID_ARGUMENT", "Unknown schema.")
    result = cloud.register("two")
    assert result.code == 2
    assert "Unknown schema" in result.err
    assert (list(cloud.versions), cloud.champion) == (["1", "2"], "1")
    again = cloud.register("two")
    assert "holds this release already" in again.out
    assert (list(cloud.versions), cloud.champion) == (["1", "2"], "2")


def test_an_upload_that_another_process_began_is_waited_for(cloud: Cloud) -> None:
    """The first process is killed while the operation runs: the second one finds it in published.json."""
    with cloud.server.refusing("GET", "/operations/", "PERMISSION_DENIED", "killed"):
        assert cloud.register("one").code == 2
    kept = json.loads((cloud.bucket / "one/published.json").read_text())[PARENT]["upload"]
    version = cloud.server.resources.pop(f"{MODEL}@1")  # it is listed once the operation is done
    polled = cloud.server.state.poll

    def poll(name: str) -> dict:
        answer = polled(name)
        if name.endswith(kept.rpartition("/")[2]) and answer.get("done"):
            cloud.server.resources[f"{MODEL}@1"] = version
        return answer

    cloud.server.state.poll = poll  # type: ignore[method-assign]
    result = cloud.register("one")
    assert result.code == 0, result.err
    assert "Waiting for the upload that was begun" in result.err
    assert len(cloud.sent("POST", "models:upload")) == 1
    assert cloud.champion == "1"
    assert "upload" not in json.loads((cloud.bucket / "one/published.json").read_text())[PARENT]


def test_the_gate_said_no(cloud: Cloud) -> None:
    release = cloud.release("one", verdict=releases.NO)
    for command in (
        ("register", *FLAGS),
        ("deploy", "--model-name", "recs", "--endpoint-name", "shop"),
        ("index", "--index-name", "recs"),
    ):
        result = cloud(*command, "--release", release)
        assert result.code == 2
        assert "a no: Recall@100 .31 is below popularity's .35" in result.err
        assert "All of it" not in result.err
    assert cloud.server.requests == []


def test_a_local_release_is_copied_to_the_bucket_once(cloud: Cloud, tmp_path: Path) -> None:
    release = releases.write(tmp_path / "release", "one")
    result = cloud("register", "--release", release, *FLAGS)
    assert result.code == 2
    assert "Name a folder to copy it to: --staging gs://BUCKET/PATH" in result.err
    assert cloud.server.requests == []
    for _ in range(2):
        assert cloud("register", "--release", release, *FLAGS, "--staging", "gs://bucket/releases").code == 0
    (copy,) = (cloud.bucket / "releases").iterdir()
    assert copy.name.startswith("one-")
    assert (copy / "release.json").read_bytes() == (tmp_path / "release/release.json").read_bytes()
    assert cloud.versions["1"]["artifactUri"] == f"gs://bucket/releases/{copy.name}"
    assert list(cloud.versions) == ["1"]


@pytest.mark.parametrize(("bucket", "said"), [("nowhere", "no such bucket"), ("forbidden", "permission")])
@pytest.mark.parametrize("command", [("register", *FLAGS), ("index", "--index-name", "recs")])
def test_a_bucket_that_cannot_be_written(
    cloud: Cloud, tmp_path: Path, command: tuple[str, ...], bucket: str, said: str
) -> None:
    release = releases.write(tmp_path / "release", "one")
    result = cloud(*command, "--release", release, "--staging", f"gs://{bucket}/releases")
    assert result.code == 2
    assert f"gs://{bucket}/releases" in result.err
    assert said in result.err
    assert not cloud.sent("POST", "")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model-name", "Recs!"), "--model-name: found 'Recs!'"),
        (("--serving-image", "metro-recs/serving"), "--serving-image"),
        (("--project", "My Project"), "--project: found 'My Project'"),
        (("--region", "Frankfurt"), "--region: found 'Frankfurt'"),
        (("--release", "gs://bucket/none"), "gs://bucket/none/release.json: found no such file"),
        (("--endpoint", "http://example.com"), "https://HOST"),
    ],
)
def test_bad_names_are_refused_before_anything_is_sent(cloud: Cloud, flags: tuple[str, str], said: str) -> None:
    given = dict(zip(FLAGS[::2], FLAGS[1::2], strict=True)) | {"--release": cloud.release("one")} | {flags[0]: flags[1]}
    result = cloud("register", *[part for pair in given.items() for part in pair])
    assert result.code == 2
    assert said in result.err
    assert cloud.server.requests == []


def test_no_credentials_reach_this_machine(cloud: Cloud) -> None:
    seen: list[str] = []
    answer = cloud.server.answer

    def spy(method: str, path: str, query: dict, raw: bytes, authorization: str) -> object:
        seen.append(authorization)
        return answer(method, path, query, raw, authorization)

    cloud.server.answer = spy  # type: ignore[method-assign]
    assert cloud.register("one").code == 0
    assert set(seen) == {""}
