"""Where training runs: all local GPUs, several workers when TF_CONFIG names them, else the CPU.

TensorFlow's coordination service, which runs in the leader, watches the workers of a cluster: when one is silent for
HEARTBEAT_SECONDS, or reports an error, the collectives and barriers of all the others fail. `closing` turns that into
one sentence. Its calls are reached through TensorFlow's context; there is no public name for them.
"""

import contextlib
import faulthandler
import re
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from components.common.errors import InputError
from trainer_image import rendezvous, tf_config
from trainer_image.preemption import Preempted
from trainer_image.tf_config import Cluster

HEARTBEAT_SECONDS = 30  # a machine may stand still for some seconds while it is moved to other hardware
WRITING_SECONDS = 24 * 60 * 60  # the others wait while the chief writes; a chief that died is noticed much earlier
LEAVING_SECONDS = 30
GRACE_SECONDS = 10  # TensorFlow's own timeout, where it has one, says more
REPORT_CHARACTERS = 300  # it travels in a header of limited size
REPORT = re.compile(r"<<worker (\S+) ended: (.*?)>>", re.DOTALL)
TASK = re.compile(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)")
COORDINATION = re.compile("coordination ?service", re.IGNORECASE)


def choose(cluster_timeout: float = 600) -> tf.distribute.Strategy:
    """The distribution strategy of this process. Must be called before TensorFlow touches a device.

    Args:
        cluster_timeout: Seconds to wait for the other workers that TF_CONFIG names.

    Raises:
        InputError: TF_CONFIG is malformed, or a worker that it names does not come.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    cluster = tf_config.read()
    if cluster and cluster.others:
        return _join(cluster, cluster_timeout)
    if tf.config.list_logical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    cpus = tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([c.name for c in cpus]) if len(cpus) > 1 else tf.distribute.get_strategy()


def is_chief() -> bool:
    """True where artifacts are written: in the only process, or in the cluster's chief (else its first worker)."""
    cluster = tf_config.read()
    return cluster is None or cluster.own == cluster.leader


@contextlib.contextmanager
def closing(distribution: tf.distribute.Strategy) -> Iterator[None]:
    """Ends a training that ran inside: all workers leave together, or each learns why it cannot go on.

    Where all went well, every worker waits here for the others. Where one fails, it does not wait: it tells the others
    why, and their next collective fails. Preempted is raised by all workers at once, and no failure.

    Raises:
        InputError: another worker failed or is gone; says which, and its reason where it could still tell.
    """
    cluster = tf_config.read() if isinstance(distribution, tf.distribute.MultiWorkerMirroredStrategy) else None
    if cluster is None:
        yield
        return
    try:
        yield
        _leave(cluster, WRITING_SECONDS)
    except Preempted:
        with contextlib.suppress(tf.errors.OpError):
            _leave(cluster, LEAVING_SECONDS)
        raise
    except tf.errors.OpError as error:
        culprit = _culprit(str(error), cluster)
        _report(*(culprit or (cluster.own, error)))
        if not culprit:
            raise
        address, reason = culprit
        remedy = "See that worker's log, then start all workers again."
        raise InputError(f"worker {address}", reason, "a worker that trains to the end", remedy) from error
    except BaseException as error:
        _report(cluster.own, error)
        raise


def agree(distribution: tf.distribute.Strategy, value: float) -> float:
    """The mean of `value` over all workers, the same bits on every worker; all must call it equally often."""
    if not isinstance(distribution, tf.distribute.MultiWorkerMirroredStrategy):
        return value
    return float(distribution.reduce(tf.distribute.ReduceOp.MEAN, tf.constant(value, tf.float64), axis=None))


def _join(cluster: Cluster, timeout: float) -> tf.distribute.Strategy:
    rendezvous.meet(cluster, timeout)
    leading = next(kind for kind in tf_config.TYPES if kind in cluster.members)
    milliseconds = int(timeout * 1000)
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{leading}/replica:0/task:0",
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name=kind, num_tasks=len(addresses))
            for kind, addresses in cluster.members.items()
        ],
        cluster_register_timeout_in_ms=milliseconds,
        heartbeat_timeout_in_ms=min(milliseconds, HEARTBEAT_SECONDS * 1000),
    )
    # All were here a moment ago. Should one be gone by now, TensorFlow waits for an hour and no Python code can run.
    faulthandler.dump_traceback_later(timeout + GRACE_SECONDS, exit=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        remedy = "See the other workers' logs, then start all workers again."
        raise InputError("TF_CONFIG cluster", _line(error), "workers that start together", remedy) from error
    finally:
        faulthandler.cancel_dump_traceback_later()


def _leave(cluster: Cluster, seconds: int) -> None:
    """Returns when all workers have come this far, in the leader when the others no longer need it."""
    service = context.context()
    service.wait_at_barrier("trained", seconds * 1000)
    # All is done: from here on it is no error if somebody has already left.
    with contextlib.suppress(tf.errors.OpError):
        if cluster.own != cluster.leader:
            service.set_config_key_value(f"left/{cluster.own}", "yes")
            return
        for address in cluster.others:
            service.get_config_key_value(f"left/{address}", LEAVING_SECONDS * 1000)


def _report(address: str, reason: str | BaseException) -> None:
    """Tells all other workers at once; without it they would wait for the heartbeat."""
    text = f"<<worker {address} ended: {_line(reason)}>>"
    with contextlib.suppress(tf.errors.OpError):
        context.context().report_error_to_cluster(tf.errors.INTERNAL, text)


def _line(reason: str | BaseException) -> str:
    if isinstance(reason, BaseException) and not isinstance(reason, InputError):
        reason = f"{type(reason).__name__}: {reason}"
    return " ".join(str(reason).replace(">>", "> >").split())[:REPORT_CHARACTERS]


def _culprit(error: str, cluster: Cluster) -> tuple[str, str] | None:
    """The worker that TensorFlow's error speaks of, and what happened there; None where the error is our own."""
    if reported := REPORT.search(error):
        return reported[1], reported[2]
    tasks = {(kind, str(i)): address for kind, every in cluster.members.items() for i, address in enumerate(every)}
    named = dict.fromkeys(tasks.get(task) for task in TASK.findall(error))
    lost = [address for address in named if address and address != cluster.own]
    if "remote target" in error:
        lost = lost[:1]  # workers hand the error on, each behind the one that had it before
    if not lost and COORDINATION.search(error) and cluster.own != cluster.leader:
        lost = [cluster.leader]
    return (",".join(lost), "no sign of life") if lost else None
