"""Two replicas against one: the same global batch must give the same training."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from tests.trainer_image.conftest import Shop
from trainer_image import strategy

TRAIN_ON = """
import json, sys
import trainer_image
import tensorflow as tf
devices, arguments = int(sys.argv[1]), json.loads(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
from trainer_image.train import train
document = train(**arguments)
print(json.dumps([document["hyperparameters"]["replicas"], [point["loss"] for point in document["training"]["curve"]]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["full-catalogue", "in-batch"])
def test_two_replicas_train_like_one(shop: Shop, tmp_path: Path, loss: str) -> None:
    curves = {}
    for devices in (1, 2):
        changes = {
            "batch_size": 100 // devices,
            "epochs": 3,
            "learning_rate": 0.001,
            "lr_scaling": "none",
            "loss": loss,
        }
        arguments = json.dumps(shop.arguments(tmp_path / str(devices), **changes))
        command = [sys.executable, "-c", TRAIN_ON, str(devices), arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        replicas, curves[devices] = json.loads(done.stdout.splitlines()[-1])
        assert replicas == devices
    np.testing.assert_allclose(curves[2], curves[1], rtol=1e-4)


def test_a_malformed_tf_config_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "{oops")
    with pytest.raises(InputError, match=r"TF_CONFIG: found '\{oops', expected a JSON object"):
        strategy.choose()


@pytest.mark.parametrize(
    ("task", "chief"), [({"type": "worker", "index": 0}, True), ({"type": "worker", "index": 1}, False)]
)
def test_the_first_worker_writes(monkeypatch: pytest.MonkeyPatch, task: dict, chief: bool) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": task}))
    assert strategy.is_chief() is chief
