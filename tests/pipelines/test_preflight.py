"""What a preflight finds, against services on this machine that answer as Google's documents say."""

import time
from collections.abc import Iterator

import pytest
from google.auth import exceptions

from components.common.google import Where
from pipelines import preflight, registries
from pipelines.findings import Finding
from pipelines.preflight import Needs
from tests.servers.google_apis import Server, google_apis

APIS = ["aiplatform.googleapis.com", "dataflow.googleapis.com"]
SERVICES = "/v1/projects/my-project/services:batchGet"
ACCOUNT = "recs@my-project.iam.gserviceaccount.com"
QUOTA = (
    "/v1beta1/projects/my-project/services/aiplatform.googleapis.com/consumerQuotaMetrics/"
    "aiplatform.googleapis.com%2Fcustom_model_training_nvidia_a100_gpus"
)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Services in which everything is there."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with google_apis() as server:
        enabled = [{"config": {"name": name}, "state": "ENABLED"} for name in APIS]
        server.answers = {
            "/storage/v1/b/bucket": (200, {"name": "bucket", "location": "EUROPE-WEST3"}),
            SERVICES: (200, {"services": enabled}),
            f"/v1/projects/-/serviceAccounts/{ACCOUNT}": (200, {"email": ACCOUNT}),
            "/v2/my-project/metro-recs/trainer/manifests/v1": (200, {}),
            QUOTA: (200, {"consumerQuotaLimits": [{"quotaBuckets": _buckets(0, 8)}]}),
        }
        yield server


def _buckets(default: int, here: int) -> list[dict]:
    regional = {"effectiveLimit": str(here), "dimensions": {"region": "europe-west3"}}
    other = {"effectiveLimit": "64", "dimensions": {"region": "us-central1"}}
    return [{"effectiveLimit": str(default)}, other, regional]


def _where(server: Server) -> Where:
    return Where(project="my-project", region="europe-west3", endpoint=server.url)


def _needs(server: Server) -> Needs:
    image = f"127.0.0.1:{server.server_port}/my-project/metro-recs/trainer:v1"
    return Needs("gs://bucket/runs", [image], {("NVIDIA_TESLA_A100", False): 2}, APIS, ACCOUNT)


def _found(server: Server, state: str) -> list[Finding]:
    return [finding for finding in preflight.preflight(_where(server), _needs(server)) if finding.state == state]


def test_all_is_there(cloud: Server) -> None:
    found = preflight.preflight(_where(cloud), _needs(cloud))
    assert [finding.state for finding in found] == ["fine"] * 6  # bucket, two APIs, account, image, quota
    asked = {path: query for _, path, query, _ in cloud.requests}
    assert asked[SERVICES] == {"names": [f"projects/my-project/services/{name}" for name in APIS]}
    (accept,) = [headers["Accept"] for method, _, _, headers in cloud.requests if method == "HEAD"]
    assert "application/vnd.oci.image.index.v1+json" in accept


def test_an_image_called_latest_and_a_cache_are_not_to_be_trusted(cloud: Server) -> None:
    needs = _needs(cloud)
    image = needs.images[0].replace(":v1", ":latest")
    cloud.answers["/v2/my-project/metro-recs/trainer/manifests/latest"] = (200, {})
    for cached, states in ((True, ["careful", "fine"]), (False, ["fine"])):
        found = preflight.preflight(_where(cloud), needs._replace(images=[image], is_cached=cached))
        assert [finding.state for finding in found if image in finding.text] == states
    assert "--tag" in preflight.preflight(_where(cloud), needs._replace(images=[image], is_cached=True))[0].command


@pytest.mark.parametrize(
    ("path", "answer", "said", "command"),
    [
        (
            "/storage/v1/b/bucket",
            (404, {}),
            "gs://bucket does not exist",
            "gcloud storage buckets create gs://bucket --location=europe-west3 --project=my-project",
        ),
        (
            SERVICES,
            (200, {"services": [{"config": {"name": APIS[0]}, "state": "ENABLED"}]}),
            "dataflow.googleapis.com is not enabled",
            "gcloud services enable dataflow.googleapis.com --project=my-project",
        ),
        (
            f"/v1/projects/-/serviceAccounts/{ACCOUNT}",
            (404, {}),
            f"{ACCOUNT} does not exist",
            "gcloud iam service-accounts create recs --project=my-project",
        ),
        (
            f"/v1/projects/-/serviceAccounts/{ACCOUNT}",
            (200, {"disabled": True}),
            f"{ACCOUNT} is disabled",
            f"gcloud iam service-accounts enable {ACCOUNT}",
        ),
        (
            "/v2/my-project/metro-recs/trainer/manifests/v1",
            (404, {}),
            "trainer:v1 does not exist",
            "/my-project TAG=v1 && make push IMAGE_REGISTRY=",
        ),
        (
            QUOTA,
            (200, {"consumerQuotaLimits": [{"quotaBuckets": _buckets(8, 1)}]}),
            "custom_model_training_nvidia_a100_gpus in europe-west3 is 1, and a step needs 2",
            "iam-admin/quotas?project=my-project",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(
    cloud: Server, path: str, answer: tuple[int, dict], said: str, command: str
) -> None:
    cloud.answers[path] = answer
    (found,) = _found(cloud, "missing")
    assert said in found.text
    assert command in found.command
    assert not _found(cloud, "not checked")


@pytest.mark.parametrize(
    "path",
    [
        "/storage/v1/b/bucket",
        SERVICES,
        f"/v1/projects/-/serviceAccounts/{ACCOUNT}",
        "/v2/my-project/metro-recs/trainer/manifests/v1",
        QUOTA,
    ],
)
def test_what_may_not_be_asked_is_not_called_missing(cloud: Server, path: str) -> None:
    cloud.answers[path] = (403, {})
    (found,) = _found(cloud, "not checked")
    assert found.text
    assert not _found(cloud, "missing")


def test_a_quota_without_limit_and_one_for_all_regions(cloud: Server) -> None:
    cloud.answers[QUOTA] = (200, {"consumerQuotaLimits": [{"quotaBuckets": _buckets(8, -1)}]})
    assert not _found(cloud, "missing")
    cloud.answers[QUOTA] = (200, {"consumerQuotaLimits": [{"quotaBuckets": _buckets(0, 0)[:2]}]})
    (found,) = _found(cloud, "missing")
    assert "is 0" in found.text


def test_a_bucket_elsewhere_is_pointed_out(cloud: Server) -> None:
    cloud.answers["/storage/v1/b/bucket"] = (200, {"location": "US"})
    assert any("in us: what crosses regions is billed" in finding.text for finding in _found(cloud, "fine"))


def test_a_service_that_does_not_answer_takes_no_longer_than_it_may(
    cloud: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (preflight, registries):
        monkeypatch.setattr(module, "SECONDS", 0.2)
    cloud.silent = 2.0
    start = time.monotonic()
    found = preflight.preflight(_where(cloud), _needs(cloud))
    assert time.monotonic() - start < 1.5
    assert [finding.state for finding in found] == ["not checked"] * 4 + ["not checked"]
    assert all("no answer" in finding.text for finding in found)
    told = " ".join(finding.text for finding in found)
    assert all(name in told for name in ("gs://bucket/runs", *APIS, ACCOUNT, "metro-recs/trainer:v1", "A100"))


def test_credentials_that_have_expired_are_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Expired:
        valid = False

        def refresh(self, request: object) -> None:
            raise exceptions.RefreshError("invalid_grant: Token has been expired or revoked.")

    monkeypatch.setattr("google.auth.default", lambda **_: (Expired(), "my-project"))
    monkeypatch.delenv("VERTEX_ENDPOINT", raising=False)
    with pytest.raises(ValueError, match=r"expired or revoked.*gcloud auth application-default login"):
        preflight.preflight(Where(project="my-project", region="europe-west3"), Needs("gs://bucket", [], {}, APIS))


def test_googles_token_goes_to_googles_registries_only(cloud: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth.transport.requests import AuthorizedSession
    from google.oauth2.credentials import Credentials

    monkeypatch.setattr(preflight, "_session", lambda where: AuthorizedSession(Credentials("secret")))
    preflight.preflight(_where(cloud), _needs(cloud))
    for method, path, _, headers in cloud.requests:
        expected = None if path.startswith("/v2/") else "Bearer secret"
        assert headers.get("authorization", headers.get("Authorization")) == expected, (method, path)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("gcr.io", True),
        ("eu.gcr.io", True),
        ("europe-west3-docker.pkg.dev", True),
        ("evilgcr.io", False),
        ("evil.pkg.dev.example", False),
        ("evilpkg.dev", False),
        ("docker.io", False),
    ],
)
def test_which_registries_are_googles(host: str, expected: bool) -> None:
    assert registries.is_googles(host) is expected


def test_needs_follow_from_the_parameters() -> None:
    from compile import spec
    from pipelines.machines import Machine
    from pipelines.steps import Settings

    def needs(machine: Machine = Machine(), **values: str) -> Needs:  # noqa: B008  it is frozen
        document = spec("europe-west3-docker.pkg.dev/p", "v1", settings=Settings(machine=machine))
        runtime = {"gcsOutputDirectory": "gs://bucket/runs", "parameterValues": values}
        return preflight.needs_of({"pipelineSpec": document, "runtimeConfig": runtime})

    on_bigquery = needs(purchases="p.shop.purchases", beam_options="--runner=DataflowRunner --region=europe-west3")
    assert {"bigquery.googleapis.com", "dataflow.googleapis.com"} <= set(on_bigquery.apis)
    assert on_bigquery.accelerators == {}
    on_files = needs(Machine(accelerator="NVIDIA_TESLA_T4", accelerator_count=2), purchases="gs://bucket/log.parquet")
    assert not {"bigquery.googleapis.com", "dataflow.googleapis.com"} & set(on_files.apis)
    assert on_files.accelerators == {("NVIDIA_TESLA_T4", False): 2}
    cluster = needs(Machine(machine_type="a2-highgpu-2g", replicas=3, strategy="spot"))
    assert cluster.accelerators == {("NVIDIA_TESLA_A100", True): 6}
    registry = "europe-west3-docker.pkg.dev/p/metro-recs"
    assert {f"{registry}/data:v1", f"{registry}/trainer:v1"} <= set(cluster.images)
