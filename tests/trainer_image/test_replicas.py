"""N replicas are one: the same global batch gives the same loss and weights, on two devices and in two processes."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tests.toy_shops import Shop
from tests.trainer_image import fifty_steps
from tests.trainer_image.cluster import ROOT, run_cluster

pytestmark = pytest.mark.slow
CLOSE = {"sgd": 1e-5, "adam": 1e-4, "lazy": 1e-4}
PROGRAM = (
    "import runpy, sys; sys.argv[:1] = ['fifty_steps']; "
    "runpy.run_module('tests.trainer_image.fifty_steps', run_name='__main__')"
)


@pytest.fixture(scope="module")
def options(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("options") / "options.json"
    path.write_text(json.dumps(asdict(shop.options("unused"))), encoding="utf-8")
    return path


def on_devices(count: int, options: Path, output: Path) -> dict[str, np.ndarray]:
    command = [sys.executable, "-m", "tests.trainer_image.fifty_steps", str(count), str(options), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return read(output)


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def one(options: Path) -> dict[str, np.ndarray]:
    return on_devices(1, options, options.parent / "one.npz")


def expect_equal(found: dict[str, np.ndarray], one: dict[str, np.ndarray]) -> None:
    assert (found.pop("replicas"), one["replicas"]) == (2, 1)
    combinations = {tuple(name.split()[:2]) for name in found}
    assert combinations == {(loss, name) for loss in fifty_steps.LOSSES for name in fifty_steps.OPTIMIZERS}
    for name, value in found.items():
        close = CLOSE[name.split()[1]]
        np.testing.assert_allclose(value, one[name], rtol=close, atol=close, err_msg=name)
        assert len(value) > 0


def test_two_devices_train_like_one(options: Path, tmp_path: Path, one: dict[str, np.ndarray]) -> None:
    expect_equal(on_devices(2, options, tmp_path / "two.npz"), one)


def test_two_workers_train_like_one_and_end_by_themselves(
    options: Path, tmp_path: Path, one: dict[str, np.ndarray]
) -> None:
    done = run_cluster(PROGRAM, 2, ["1", str(options), str(tmp_path / "two.npz")])
    assert [worker.returncode for worker in done] == [0, 0], done[0].stderr + done[1].stderr
    expect_equal(read(tmp_path / "two.npz"), one)


@pytest.mark.parametrize(
    ("config", "refit"),
    [("feature_config.yaml", False), ("feature_config.yaml", True), ("feature_config_history.yaml", True)],
)
def test_a_cluster_writes_one_model(shop: Shop, tmp_path: Path, config: str, refit: bool) -> None:
    """From files to files, with validation and early stopping; the weights are those of one process."""
    program = (
        "import json, sys; from trainer_image.options import Options; from trainer_image.train import train; "
        "print(train(Options(**json.loads(sys.argv[1])))['model_version'])"
    )
    settings = {"epochs": 3, "batch_size": 50, "lr_scaling": "none", "learning_rate": 0.001, "refit": refit}
    options = shop.options(tmp_path / "model", feature_config=config, **settings)
    done = run_cluster(program, 2, [json.dumps(asdict(options))])
    assert [worker.returncode for worker in done] == [0, 0], done[0].stderr + done[1].stderr
    versions = {worker.stdout.splitlines()[-1] for worker in done}
    assert versions == {json.loads((tmp_path / "model" / "model_metadata.json").read_text())["model_version"]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
