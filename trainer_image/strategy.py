"""Where training runs: all local GPUs, several workers when TF_CONFIG names them, else the CPU."""

import json
import os

import tensorflow as tf

from components.common.errors import InputError


def choose() -> tf.distribute.Strategy:
    """The distribution strategy of this process. Must be called before TensorFlow touches a device.

    Raises:
        InputError: TF_CONFIG is not JSON.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if len(_cluster().get("worker", [])) + len(_cluster().get("chief", [])) > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if tf.config.list_logical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    cpus = tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([c.name for c in cpus]) if len(cpus) > 1 else tf.distribute.get_strategy()


def is_chief() -> bool:
    """True where artifacts are written: in the only process, or in the cluster's chief (else its first worker)."""
    task = _config().get("task", {})
    cluster = _cluster()
    return (
        not cluster
        or task.get("type") == "chief"
        or ("chief" not in cluster and task.get("type") == "worker" and task.get("index") == 0)
    )


def _cluster() -> dict[str, list[str]]:
    return dict(_config().get("cluster", {}))


def _config() -> dict:
    text = os.environ.get("TF_CONFIG", "{}")
    try:
        return dict(json.loads(text))
    except (json.JSONDecodeError, TypeError, ValueError):
        raise InputError("TF_CONFIG", repr(text), "a JSON object", "Correct or unset the variable.") from None
