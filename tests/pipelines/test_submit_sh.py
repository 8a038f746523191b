"""submit.sh with real curl against Vertex AI on this machine; gcloud is a script that hands out a token."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compile import compile_pipeline
from pipelines.job import Job
from tests.pipelines.vertex_cli import REGISTRY
from tests.servers import certificates
from tests.servers.vertex import VertexServer

SCRIPT = Path("submit.sh").resolve()
PARENT = "projects/my-project/locations/europe-west3"
TOKEN = "not-a-secret"  # noqa: S105
GCLOUD = f"""#!/bin/sh
case "$*" in
  "auth print-access-token") [ -z "$LOGGED_OUT" ] && echo {TOKEN} ;;
  "config get-value project") echo my-project ;;
  "config get-value ai/region") echo europe-west3 ;;
  *) exit 1 ;;
esac
"""

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    file = folder / "job.json"
    parameters = ("purchases=p.shop.purchases", "products=p.shop.products")
    job = Job(job_body=str(file), parameters=parameters, labels=("team=recs",))
    root = "gs://bucket/runs"
    compile_pipeline(job=job, output=str(folder / "pipeline.json"), registry=REGISTRY, pipeline_root=root)
    return file


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this machine's own address, with its key in the same file."""
    return certificates.write(tmp_path_factory.mktemp("certificate") / "server.pem")


@pytest.fixture
def server(tmp_path: Path, certificate: Path) -> Iterator[VertexServer]:
    (tmp_path / "cloud" / "bucket").mkdir(parents=True)
    with VertexServer(tmp_path / "cloud", certificate=certificate) as server:
        server.token = TOKEN
        yield server


@pytest.fixture
def path(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PATH on which gcloud is the script."""
    monkeypatch.setenv("CURL_CA_BUNDLE", str(certificate))
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "gcloud").write_text(GCLOUD)
    (folder / "gcloud").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def _submit(path: str, file: Path | str, endpoint: str, **environment: str) -> subprocess.CompletedProcess:
    trusted = os.environ.get("CURL_CA_BUNDLE", "")
    given = {"PATH": path, "VERTEX_ENDPOINT": endpoint, "CURL_CA_BUNDLE": trusted, **environment}
    return subprocess.run([SCRIPT, file], env=given, capture_output=True, text=True, timeout=60)


def test_the_job_arrives_as_it_was_written(server: VertexServer, body: Path, path: str) -> None:
    done = _submit(path, body, server.url)
    assert done.returncode == 0, done.stderr
    ((method, where, sent),) = server.requests
    assert (method, where) == ("POST", f"/v1/{PARENT}/pipelineJobs")
    assert sent == json.loads(body.read_text())
    run = re.search(r"submitted (metro-recs-training-\d{14})$", done.stdout, re.MULTILINE)
    assert run
    assert f"{PARENT}/pipelineJobs/{run[1]}" in server.resources
    page = f"https://console.cloud.google.com/vertex-ai/locations/europe-west3/pipelines/runs/{run[1]}"
    assert f"{page}?project=my-project" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


def test_project_region_and_id_can_be_given(server: VertexServer, body: Path, path: str) -> None:
    environment = {"PROJECT": "another", "REGION": "us-central1", "RUN_ID": "autumn-1"}
    assert _submit(path, body, server.url, **environment).returncode == 0
    assert "projects/another/locations/us-central1/pipelineJobs/autumn-1" in server.resources
    exported = {"GOOGLE_CLOUD_PROJECT": "exported", "GOOGLE_CLOUD_REGION": "us-east1", "RUN_ID": "winter-1"}
    done = _submit(path, body, server.url, **exported)
    assert "project exported, region us-east1" in done.stdout
    assert "projects/exported/locations/us-east1/pipelineJobs/winter-1" in server.resources
    again = _submit(path, body, server.url, **environment)
    assert again.returncode == 1
    assert "409" in again.stderr
    assert "RUN_ID" in again.stderr


def test_the_token_is_in_no_process_list(server: VertexServer, body: Path, path: str, tmp_path: Path) -> None:
    real = shutil.which("curl")
    seen = tmp_path / "arguments"
    curl = Path(path.partition(os.pathsep)[0], "curl")
    curl.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\nexec {real} "$@"\n')
    curl.chmod(0o755)
    assert _submit(path, body, server.url).returncode == 0
    assert seen.read_text().count("--header") == 2
    assert TOKEN not in seen.read_text()


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        ("UNAUTHENTICATED", "expired", "gcloud auth login"),
        ("INTERNAL", "it broke", "Try again later"),
        ("PERMISSION_DENIED", 'no "create" here', "gcloud services enable aiplatform.googleapis.com"),
        ("RESOURCE_EXHAUSTED", "too many", "quota"),
        ("INVALID_ARGUMENT", "no such field", "no such field"),
    ],
)
def test_a_refusal_is_a_sentence(
    server: VertexServer, body: Path, path: str, status: str, message: str, said: str
) -> None:
    with server.refusing("POST", "pipelineJobs", status, message):
        done = _submit(path, body, server.url)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not server.resources


def test_what_is_wrong_before_is_said_before(server: VertexServer, body: Path, path: str) -> None:
    def refused(file: Path | str, said: str, **environment: str) -> None:
        done = _submit(path, file, environment.pop("endpoint", server.url), **environment)
        assert done.returncode == 2, done.stdout
        assert said in done.stderr
        assert not server.requests

    refused("nowhere.json", "compile.py --project … --region … --pipeline-root gs://… --parameters")
    refused(body.parent / "pipeline.json", "no job body")
    refused(body, "gcloud auth login", LOGGED_OUT="1")
    refused(body, "RUN_ID", RUN_ID="Autumn 1")
    refused(body, "https", endpoint="http://vertex.example.com")
    # The token must not be led elsewhere.
    refused(body, "https", endpoint=server.url.replace("127.0.0.1", "127.0.0.1:x@127.0.0.1"))
    refused(body, "https", endpoint="https://somebody@vertex.example.com")
    refused(body, "is none such as europe-west3", REGION="evil.example/")
    refused(body, "is no project's id", PROJECT="a/../../x?y=1")


def test_a_server_without_tls_gets_no_token(tmp_path: Path, body: Path, path: str) -> None:
    (tmp_path / "plain" / "bucket").mkdir(parents=True)
    with VertexServer(tmp_path / "plain") as plain:
        assert _submit(path, body, plain.url, LOGGED_OUT="1").returncode == 0
        assert len(plain.requests) == 1
        plain.token = TOKEN
        assert "401" in _submit(path, body, plain.url).stderr


def test_no_answer_is_said_so(body: Path, path: str) -> None:
    done = _submit(path, body, "http://127.0.0.1:9")  # the port of "discard", where nobody listens
    assert done.returncode == 1
    assert "no answer from http://127.0.0.1:9" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("path")
def test_the_real_gcloud_hands_out_the_token(server: VertexServer, body: Path, tmp_path: Path) -> None:
    if not shutil.which("gcloud"):
        pytest.skip("needs gcloud")
    (tmp_path / "token").write_text(TOKEN)
    environment = {
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(tmp_path / "token"),
        "CLOUDSDK_CORE_PROJECT": "my-project",
        "CLOUDSDK_AI_REGION": "europe-west3",
    }
    done = _submit(os.environ["PATH"], body, server.url, **environment)
    assert done.returncode == 0, done.stderr
    assert sum("/pipelineJobs/" in name for name in server.resources) == 1


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    scripts = [SCRIPT, *(file for file in Path(".ci").iterdir()), *Path("tests/containers").glob("*.sh")]
    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
