"""Where training runs, and what TF_CONFIG may say."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import tensorflow as tf

from components.common.errors import InputError
from tests.trainer_image.cluster import tf_config
from trainer_image import strategy
from trainer_image.tf_config import Cluster

CHOOSE = """
import sys
import trainer_image
import tensorflow as tf
from trainer_image import strategy
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1]))
distribution = strategy.choose(cluster_timeout=1)
with strategy.closing(distribution):
    total = tf.function(lambda: distribution.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", 3.0)))()
    total = distribution.experimental_local_results(total)
    print(type(distribution).__name__, len(total), float(total[0]), strategy.agree(distribution, 0.1))
"""

ALONE = ["{}", '{"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}']


@pytest.mark.slow
@pytest.mark.parametrize("text", ALONE)
@pytest.mark.parametrize(("devices", "name"), [(1, "_DefaultDistributionStrategy"), (2, "MirroredStrategy")])
def test_one_process_trains_alone_on_all_its_devices(devices: int, name: str, text: str) -> None:
    environment = os.environ | {"TF_CONFIG": text}
    command = [sys.executable, "-c", CHOOSE, str(devices)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name, str(devices), str(3.0 * devices), "0.1"]


def test_one_process_does_not_wait_or_agree() -> None:
    distribution = tf.distribute.get_strategy()
    assert strategy.agree(distribution, 0.1) == 0.1
    with pytest.raises(KeyError), strategy.closing(distribution):
        raise KeyError


CLUSTER = {"worker": ["a:1", "b:2"]}
FIRST = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ("{oops", r"TF_CONFIG: found '\{oops', expected a JSON object such as \{"),
        ("", r"TF_CONFIG: found '', expected a JSON object"),
        ("[1]", r"TF_CONFIG: found '\[1\]', expected a JSON object"),
        ('"{}"', r"TF_CONFIG: found .*, expected a JSON object"),
        ({"cluster": CLUSTER}, r"TF_CONFIG task: found nothing, expected this worker's type and index"),
        ({"cluster": CLUSTER, "task": {}}, r"TF_CONFIG task: found nothing"),
        ({"cluster": CLUSTER, "task": ["worker", 0]}, r"TF_CONFIG task: found \['worker', 0\], expected a JSON object"),
        ({"task": FIRST}, r"TF_CONFIG cluster: found no addresses, expected those of all workers"),
        ({"cluster": {}, "task": FIRST}, r"TF_CONFIG cluster: found no addresses"),
        ({"cluster": ["a:1"], "task": FIRST}, r"TF_CONFIG cluster: found \['a:1'\], expected a JSON object"),
        ({"cluster": {"worker": "a:1"}, "task": FIRST}, r"cluster\.worker: found 'a:1', expected a list of addresses"),
        ({"cluster": {"worker": []}, "task": FIRST}, r"cluster\.worker: found \[\], expected a list of addresses"),
        (
            {"cluster": {"master": ["a:1"]}, "task": FIRST},
            r"cluster\.master: found the type 'master', expected only chi",
        ),
        ({"cluster": CLUSTER | {"ps": ["c:3"]}, "task": FIRST}, r"cluster\.ps: .*Remove that worker pool"),
        ({"cluster": {"chief": ["c:3", "d:4"]}, "task": FIRST}, r"cluster\.chief: found 2 addresses, expected one"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": FIRST}, r"cluster: found a:1 more than once"),
        ({"cluster": CLUSTER | {"chief": ["b:2"]}, "task": FIRST}, r"cluster: found b:2 more than once"),
        ({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}, r"task\.type: found 'chief', expected worker"),
        ({"cluster": CLUSTER, "task": {"type": "boss", "index": 0}}, r"task\.type: found 'boss', expected worker"),
        ({"cluster": CLUSTER, "task": {"type": ["worker"], "index": 0}}, r"task\.type: found \['worker'\], expected"),
        ({"cluster": CLUSTER, "task": {"index": 0}}, r"task\.type: found None, expected worker"),
        ({"cluster": CLUSTER, "task": {"type": "ps", "index": 0}}, r"task\.type: found 'ps'.*has no parameter servers"),
        ({"cluster": CLUSTER, "task": {"type": "evaluator", "index": 0}}, r"task\.type: found 'evaluator'.*by itself"),
        ({"cluster": CLUSTER, "task": {"type": "worker"}}, r"task\.index: found None, expected a whole number, 0 to 1"),
        *[
            (
                {"cluster": CLUSTER, "task": {"type": "worker", "index": index}},
                r"task\.index: found .*, expected a whole",
            )
            for index in (2, -1, "0", 0.0, True, None, [0])
        ],
        *[
            (
                {"cluster": {"worker": ["a:1", address]}, "task": FIRST},
                r"cluster\.worker\[1\]: found .*, expected host:port",
            )
            for address in (
                "b",
                "b:",
                ":2",
                "b:0",
                "b:65536",
                "b:x",
                "b:2:3",
                "grpc://b:2",
                "b:2\n",
                "b c:2",
                "::1:2",
                2,
                None,
            )
        ],
    ],
)
def test_a_malformed_tf_config_is_explained(monkeypatch: pytest.MonkeyPatch, config: Any, complaint: str) -> None:
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    for function in (strategy.choose, strategy.is_chief):
        with pytest.raises(InputError, match=complaint):
            function()


@pytest.mark.parametrize("text", ["{}", '{"environment": "cloud", "cluster": {}, "task": {}}'])
def test_no_cluster_is_one_process(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert strategy.is_chief()
    assert strategy.choose().num_replicas_in_sync == 1


@pytest.mark.parametrize(("place", "chief"), [(0, True), (1, False)])
@pytest.mark.parametrize("with_chief", [False, True])
@pytest.mark.parametrize(
    "addresses", [["127.0.0.1:1", "[::1]:2"], ["cmle-training-workerpool0-0a1b-0:2222", "b_c.d:1"]]
)
def test_the_chief_writes(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], with_chief: bool, place: int, chief: bool
) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config(addresses, place, with_chief))
    assert strategy.is_chief() is chief


SILENT = "no sign of life"


# As TensorFlow 2.21 words them, on a worker of the cluster a:1, b:2, c:3.
@pytest.mark.parametrize(
    ("own", "error", "culprit"),
    [
        (
            0,
            "Collective ops is aborted by: Error reported from /job:worker/task:1: The following tasks are unhealthy "
            "(stopped sending heartbeats):\n/job:worker/replica:0/task:1\nThe tasks have crashed.",
            ("b:2", SILENT),
        ),
        (
            0,
            "The following tasks are unhealthy:\n/job:worker/replica:0/task:1\n/job:worker/replica:0/task:2\n",
            ("b:2,c:3", SILENT),
        ),
        (
            1,
            "Collective ops is aborted by: recvmsg:Connection reset by peer\nAdditional GRPC error information from "
            "remote target /job:worker/replica:0/task:0 while calling /tensorflow.WorkerService/CompleteInstance",
            ("a:1", SILENT),
        ),
        (
            2,
            "Collective ops is aborted by: Collective ops is aborted by: Socket closed\nAdditional GRPC error "
            "information from remote target /job:worker/replica:0/task:0 while calling /tensorflow.WorkerService/"
            "CompleteInstance:\nThe error could be from a previous operation. Restart your program to reset.\n"
            "Additional GRPC error information from remote target /job:worker/replica:0/task:1 while calling /",
            ("a:1", SILENT),
        ),
        (1, "Deadline Exceeded\n\nRPC: /tensorflow.CoordinationService/Heartbeat", ("a:1", SILENT)),
        (1, "Failed to send RPC to coordination service. Either the leader task was preempted", ("a:1", SILENT)),
        (
            1,
            "Error reported from /job:worker/task:2: <<worker c:3 ended: ValueError: a\nb>> [type.googleapis.com/",
            ("c:3", "ValueError: a\nb"),
        ),
        (1, "OOM when allocating tensor on /job:worker/replica:0/task:1/device:GPU:0 by allocator GPU_0_bfc", None),
        (0, "Could not satisfy device specification '/job:localhost/replica:0/task:0/device:GPU:0'", None),
        (0, "Incompatible shapes: [2] vs. [3] [Op:AddV2]", None),
    ],
)
def test_an_error_of_tensorflow_names_the_worker(own: int, error: str, culprit: tuple[str, str] | None) -> None:
    cluster = Cluster({"worker": ["a:1", "b:2", "c:3"]}, "worker", own)
    assert strategy._culprit(error, cluster) == culprit
