"""The container images: built, scanned, and running the whole compiled pipeline, without network and without root.

Needs a Docker daemon (DOCKER_HOST) that has or can fetch the base image. Skipped where there is none, unless
REQUIRE_IMAGES says that there must be one, as .ci/run does. DOCKER names the client to build with.
"""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import numpy as np
import pytest

import compile as compiler
from components.common import saved_models
from components.common.errors import InputError
from components.images import DATA_IMAGE, SERVING_IMAGE, TRAINER_IMAGE
from pipelines import local
from tests.containers import scan
from tests.serving_image import shop, stand_in

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
query: {features: [{kind: id, name: cust_person_id, dim: 8}], layers: [8]}
candidate: {features: [{kind: id, name: product_id, dim: 8}, {kind: text, name: art_name, dim: 8}], layers: [8]}
"""
BOOT = """#!/opt/venv/bin/python3
import os, apache_beam
print(apache_beam.__version__, os.environ["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"], os.getuid())
"""
ASK = """
import sys, urllib.request
for path, body in (("/alive", None), ("/predict", sys.argv[1].encode())):
    print(urllib.request.urlopen("http://127.0.0.1:8200" + path, body).read().decode())
"""
IMAGES = (DATA_IMAGE, TRAINER_IMAGE, SERVING_IMAGE)
MAX_GB = {DATA_IMAGE: 2.4, TRAINER_IMAGE: 2.3, SERVING_IMAGE: 2.0}  # without CUDA; what was measured is in README.md
PACKAGES = {DATA_IMAGE: "data-image", TRAINER_IMAGE: "trainer-image", SERVING_IMAGE: "serving-image"}


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except docker.errors.DockerException as error:
        if os.environ.get("REQUIRE_IMAGES"):
            raise
        pytest.skip(f"no Docker daemon: {error}")
    yield client
    client.close()


@pytest.fixture(scope="module")
def images(client: docker.DockerClient) -> docker.models.images.ImageCollection:
    """The images, built for CPU as a user builds them."""
    started = time.monotonic()
    command = ["make", "images", "CPU=1", "ARGS=--network=host"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout[-4000:] + done.stderr[-4000:]
    print(f"built in {time.monotonic() - started:.0f} s", file=sys.__stderr__)
    for image in IMAGES:
        print(f"{image} {client.images.get(image).attrs['Size'] / 1e9:.2f} GB", file=sys.__stderr__)
    return client.images


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("spec") / "pipeline.json")
    compiler.compile_pipeline(output=path)
    return path


def inside(client: docker.DockerClient, image: str, *command: str) -> str:
    """What a command prints in a container, as the image's user and without network."""
    return client.containers.run(image, list(command), remove=True, network_mode="none").decode()


@pytest.mark.parametrize("image", IMAGES)
def test_it_holds_nothing_that_it_should_not(
    client: docker.DockerClient, images: docker.models.images.ImageCollection, image: str, tmp_path: Path
) -> None:
    found = images.get(image)
    assert list(scan.configuration(found.attrs, found.history())) == []
    assert found.attrs["Size"] < MAX_GB[image] * 1e9
    container = client.containers.create(image)
    try:
        with open(tmp_path / "root.tar", "w+b") as file:
            for chunk in container.export():
                file.write(chunk)
            file.seek(0)
            assert list(scan.findings(file)) == []
    finally:
        container.remove()
        (tmp_path / "root.tar").unlink()


@pytest.mark.parametrize("image", IMAGES)
def test_it_says_what_it_is(images: docker.models.images.ImageCollection, image: str) -> None:
    labels = images.get(image).labels
    command = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert labels["org.opencontainers.image.revision"] == head.stdout.strip()
    assert labels["org.opencontainers.image.version"] == "latest"
    assert labels["org.opencontainers.image.title"].startswith("Metro Recs")


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.usefixtures("images")
def test_it_holds_the_locked_packages_and_no_others(client: docker.DockerClient, image: str) -> None:
    listing = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    files = [ROOT / "requirements" / f"{name}.txt" for name in (PACKAGES[image], "tensorflow-cpu", "build")]
    locked = {line.split()[0] for file in files for line in file.read_text().splitlines() if line[:1].isalnum()}
    found = inside(client, image, "python3", "-c", listing).split()
    names = [re.sub(r"[-_.]+", "-", package.partition("==")[0]).lower() for package in found]
    assert {f"{name}=={package.partition('==')[2]}" for name, package in zip(names, found, strict=True)} == locked


def test_dataflow_starts_beams_boot(client: docker.DockerClient, images: docker.models.images.ImageCollection) -> None:
    """Beam's image, which comes from a registry, is a stand-in: its boot says what a worker would find."""
    boot = BOOT.encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("opt/apache/beam/boot")
        member.size, member.mode = len(boot), 0o755
        tar.addfile(member, io.BytesIO(boot))
    client.api.import_image_from_data(archive.getvalue(), repository="stand-in/beam", tag="latest")
    arguments = "--network=host --build-arg BEAM_SDK=stand-in/beam"
    command = ["make", "image-dataflow", f"ARGS={arguments}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout[-4000:] + done.stderr[-4000:]
    output = client.containers.run("metro-recs/dataflow:latest", remove=True, network_mode="none")
    assert output.split() == [b"2.77.0", b"1", b"1000"]
    assert images.get("metro-recs/dataflow:latest").attrs["Config"]["Entrypoint"] == ["/opt/apache/beam/boot"]


@pytest.mark.usefixtures("images")
def test_a_component_is_also_a_command_line(client: docker.DockerClient) -> None:
    for image, module in ((DATA_IMAGE, "components.data_extractor"), (TRAINER_IMAGE, "trainer_image.main")):
        assert "--output-path" in inside(client, image, "python3", "-m", module, "--help")
    assert "--output-path" in inside(client, TRAINER_IMAGE, "python", "main.py", "--help")


@pytest.mark.usefixtures("images")
def test_the_serving_image_serves(client: docker.DockerClient, tmp_path: Path) -> None:
    """Started as Vertex AI starts it, as a user of its own; it is asked from inside, because it has no network."""
    tmp_path.chmod(0o755)
    release = tmp_path / "release"
    release.mkdir()
    stand_in.write_known(release, shop.CUSTOMERS, shop.CANDIDATES, shop.TABLE)
    container = client.containers.run(
        SERVING_IMAGE,
        detach=True,
        network_mode="none",
        volumes={str(release): {"bind": "/release", "mode": "ro"}},
        environment={"AIP_STORAGE_URI": "/release", "AIP_HTTP_PORT": "8200", "AIP_HEALTH_ROUTE": "/alive"},
    )
    try:
        body = {"instances": [{"cust_person_id": "клиент 1"}], "parameters": {"k": 3}}
        ask = ["python3", "-c", ASK, json.dumps(body)]
        while (done := container.exec_run(ask)).exit_code:
            container.reload()
            assert container.status == "running", container.logs().decode()
            time.sleep(0.5)
        health, answer = done.output.decode().splitlines()
        assert json.loads(health) == {"status": "ready", "model_version": "stand-in"}
        shop.check(json.loads(answer)["predictions"][0], "клиент 1", k=3)
        container.kill("SIGTERM")
        assert container.wait()["StatusCode"] == 0
        assert b"http://0.0.0.0:8200" in container.logs()
    finally:
        container.remove(force=True)


@pytest.mark.usefixtures("images")
def test_the_whole_pipeline(client: docker.DockerClient, spec: str, small_log: tuple[str, str], tmp_path: Path) -> None:
    """Five containers, each the image's own user, which owns nothing but the pipeline root."""
    tmp_path.chmod(0o755)  # the containers' user reads the tables in it
    root = tmp_path / "runs"
    started = time.monotonic()
    artifacts = local.run(
        spec,
        str(root),
        {
            "purchases": small_log[0],
            "products": small_log[1],
            "feature_config": CONFIG,
            "epochs": 2,
            "batch_size": 64,
            "warmup_steps": 5,
            "top_k": 10,
            "ks": [5, 10],
            "must_beat": "none",
        },
        docker=True,
        readable=(str(tmp_path),),
    )
    print(f"the pipeline took {time.monotonic() - started:.0f} s in five containers", file=sys.__stderr__)
    made = {
        "data-extractor.examples": ("metadata.json", "data_report.html", "train", "validation", "test"),
        "trainer.model": ("model_metadata.json", "weights.npz", "saved_model", "query_model", "candidate_model"),
        "evaluator.evaluation": ("evaluation.json", "report.html"),
        "exporter.release": ("release.json", "saved_model", "embeddings"),
    }
    for artifact, files in made.items():
        assert {file for file in files if not Path(artifacts[artifact], file).exists()} == set(), artifact
    assert json.loads(Path(artifacts["vocab-builder.vocabularies"]).read_text())["rows"] > 0
    owners = {path.stat().st_uid for path in root.glob("*/*/*")}
    assert len(owners) == 1
    assert 0 not in owners
    # What the containers released recommends here, too.
    model = saved_models.SavedModel(artifacts["exporter.release"], saved_models.RETRIEVAL_MODEL)
    asked = {"cust_person_id": np.array([b"customer 3"], object), "k": np.array([10], np.int32)}
    products = model(asked)["product_ids"]
    assert products.shape == (1, 10)


@pytest.mark.usefixtures("images")
def test_a_component_that_fails_fails_the_pipeline(spec: str, small_log: tuple[str, str], tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    parameters = {"purchases": "/nowhere.parquet", "products": small_log[1], "feature_config": CONFIG}
    with pytest.raises(RuntimeError, match="data-extractor"):
        local.run(spec, str(tmp_path / "runs"), parameters, docker=True, readable=(str(tmp_path),))


@pytest.mark.usefixtures("client")
def test_an_image_that_is_not_here_is_named_before_anything_runs(tmp_path: Path) -> None:
    spec = str(tmp_path / "pipeline.json")
    compiler.compile_pipeline(output=spec, registry="registry.example/nobody", tag="none")
    with pytest.raises(InputError, match=r"image registry\.example/nobody/metro-recs/data:none: found nothing"):
        local.run(spec, str(tmp_path / "runs"), {}, docker=True)
    assert not (tmp_path / "runs").exists()


def test_without_docker_it_says_so(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(InputError, match=r"Docker: found .* Start it, or set DOCKER_HOST"):
        local.run(spec, str(tmp_path / "runs"), {}, docker=True)
