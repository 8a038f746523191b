"""The Trainer alone as a custom job: the file for gcloud, what the server received, what is refused."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines import registries
from tests.pipelines.vertex_cli import REGISTRY, Commands, Result

ACCOUNT = "recs@my-project.iam.gserviceaccount.com"


def _custom_job(commands: Commands, file: Path, *flags: str) -> Result:
    return commands(
        *("custom-job", "--image", f"{REGISTRY}/metro-recs/trainer:v1", "--tfrecords-path", "gs://bucket/examples"),
        *("--vocabularies-path", "gs://bucket/v.json", "--output-path", "gs://bucket/model", "--output", str(file)),
        *("--spec", str(commands.folder / "reruns" / "trainer.json"), *flags),
    )


def test_custom_job_is_a_cluster_with_a_chief(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    result = _custom_job(
        *(commands, file, "--parameters", "epochs=7", "jit_compile=true", "--machine-type", "a2-highgpu-2g"),
        *(
            "--replicas",
            "4",
            "--strategy",
            "spot",
            "--service-account",
            ACCOUNT,
            "--labels",
            "team=recs",
            "--submit",
            "--no-preflight",
        ),
    )
    assert result.code == 0, result.err
    document = yaml.safe_load(file.read_text())
    chief, workers = document["workerPoolSpecs"]
    assert (chief["replicaCount"], workers["replicaCount"]) == (1, 3)
    machine = {"machineType": "a2-highgpu-2g", "acceleratorType": "NVIDIA_TESLA_A100", "acceleratorCount": 2}
    assert chief["machineSpec"] == workers["machineSpec"] == machine
    assert document["scheduling"] == {"strategy": "SPOT", "restartJobOnWorkerRestart": True}
    assert document["serviceAccount"] == ACCOUNT
    flags = chief["containerSpec"]["args"]
    assert flags[flags.index("--metadata-path") + 1] == "gs://bucket/examples/metadata.json"
    assert flags[flags.index("--epochs") + 1] == "7"
    assert "--jit-compile" in flags
    (job,) = commands.created
    assert job["labels"] == {"team": "recs"}
    pools = job["jobSpec"]["workerPoolSpecs"]
    assert [int(pool["replicaCount"]) for pool in pools] == [1, 3]
    assert pools[0]["containerSpec"]["args"] == flags
    assert "gcloud ai custom-jobs create --config=" in result.out


def test_a_custom_job_is_checked_and_estimated_before_it_is_created(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registries, "image", lambda *_: iter(()))  # their registry is out of reach here
    file = tmp_path / "job.yaml"
    rows = ("--rows", "1000000", "--parameters", "epochs=10", "--submit")
    result = _custom_job(commands, file, *rows, "--max-cost", "0.01")
    assert result.code == 2
    assert "an estimate of" in result.err
    result = _custom_job(commands, file, *rows, "--output-path", "gs://mistyped/model")
    assert result.code == 2
    assert "gs://mistyped does not exist" in result.err
    result = _custom_job(commands, file, *rows, "--dry-run")
    assert result.code == 0, result.err
    assert json.loads(result.out)["jobSpec"]["workerPoolSpecs"][0]["machineSpec"] == {"machineType": "n1-standard-8"}
    assert not file.exists()
    assert not commands.created
    result = _custom_job(commands, file, *rows)
    assert result.code == 0, result.err
    # 800,000 rows, ten times, at 71,901 a second, and four minutes, on an n1-standard-8 in europe-west3.
    assert re.search(r"trainer\W+n1-standard-8\W+0\.03\W+0\.06", result.out)
    assert "fine: The bucket gs://bucket is there" in result.out
    assert len(commands.created) == 1


def test_the_trainer_understands_the_custom_jobs_flags(commands: Commands, tmp_path: Path) -> None:
    import tyro

    from trainer_image.options import Options

    file = tmp_path / "job.yaml"
    assert _custom_job(commands, file, "--parameters", "epochs=7", "learning_rate=1e-4", "jit_compile=false").code == 0
    flags = yaml.safe_load(file.read_text())["workerPoolSpecs"][0]["containerSpec"]["args"]
    options = tyro.cli(Options, args=flags)
    assert (options.epochs, options.learning_rate, options.jit_compile) == (7, 1e-4, False)
    assert options.feature_config == Path("feature_config.yaml").read_text()
    assert options.output_path == "gs://bucket/model"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--image", "trainer:v1"), "registry"),
        (("--tfrecords-path", "examples"), "gs://BUCKET/PATH"),
        (("--machine-type", "a2-highgpu-3g"), "a2-highgpu-3g"),
        (("--accelerator", "NVIDIA_A1000"), "NVIDIA_A1000"),
        (("--parameters", "epoch=3"), "found epoch, expected one of"),
        (("--labels", "A=b"), "A=b"),
    ],
)
def test_a_bad_custom_job_writes_nothing(commands: Commands, tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    file = tmp_path / "job.yaml"
    result = _custom_job(commands, file, "--submit", *flags)
    assert result.code == 2
    assert said in result.err
    assert not file.exists()
    assert not commands.server.requests


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gcloud"), reason="needs gcloud")
def test_gcloud_takes_the_custom_jobs_file(commands: Commands, tmp_path: Path) -> None:
    file, token = tmp_path / "job.yaml", tmp_path / "token"
    token.write_text("not-a-token")
    cluster = ("--machine-type", "a2-highgpu-2g", "--replicas", "3", "--strategy", "spot")
    assert _custom_job(commands, file, *cluster, "--service-account", ACCOUNT).code == 0
    environment = {
        **os.environ,
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": f"{commands.server.url}/",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    }
    command = ["gcloud", "ai", "custom-jobs", "create", f"--config={file}", "--region=europe-west3"]
    more = ["--project=my-project", "--display-name=by-gcloud", "--labels=team=recs"]
    done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (job,) = commands.created
    assert [int(pool["replicaCount"]) for pool in job["jobSpec"]["workerPoolSpecs"]] == [1, 2]
    assert job["jobSpec"]["scheduling"] == {"strategy": "SPOT", "restartJobOnWorkerRestart": True}
    assert job["jobSpec"]["serviceAccount"] == ACCOUNT
    assert job["labels"] == {"team": "recs"}
