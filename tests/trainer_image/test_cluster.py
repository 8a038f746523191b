"""Worker processes that train together, end together, and do not hang when one of them is missing or dies."""

import json
import re
import subprocess

import pytest

from components.common import cli
from tests.trainer_image.cluster import free_addresses, run_cluster
from trainer_image import preemption

# Arguments: what goes wrong, the place of the worker in which it does, and how many seconds the workers wait.
PROGRAM = """
import json, os, signal, sys, time
import trainer_image
import tensorflow as tf
from components.common import cli
from trainer_image import preemption, rendezvous, strategy, tf_config

happens, where, timeout = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
cluster = tf_config.read()
place = cluster.addresses.index(cluster.own)
del sys.argv[1:]


def main():
    if happens == "gone":
        rendezvous.meet = lambda *_: None  # as if it had died right after
    distribution = strategy.choose(cluster_timeout=timeout)
    with strategy.closing(distribution), preemption.watched() as is_preempted:
        with distribution.scope():
            total = tf.Variable(0.0, aggregation=tf.VariableAggregation.SUM)

        def add():
            return total.assign_add(1.0 + place)

        step = tf.function(lambda: distribution.run(add))
        means = [strategy.agree(distribution, value).hex() for value in ([0.1, 0.7, 1e-9][place], 1.0, 3.0 * place)]
        for number in range(20):
            if number == 10 and place == where:
                if happens == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                if happens == "preempted":
                    os.kill(os.getpid(), signal.SIGTERM)
                if happens == "fails":
                    raise ValueError("no «Домик»\\nleft")
            step()
            if strategy.agree(distribution, float(is_preempted())) > 0:
                raise preemption.Preempted
        if happens == "late" and place == where:
            time.sleep(5)
        print(json.dumps([distribution.num_replicas_in_sync, strategy.is_chief(), float(total.numpy()), means]))


cli.run(main)
"""

pytestmark = pytest.mark.slow


def message(worker: subprocess.CompletedProcess[str]) -> str:
    """The one sentence in which the command line says what is wrong."""
    assert worker.returncode == cli.BAD_INPUT, worker
    (line,) = [line for line in worker.stderr.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


@pytest.mark.parametrize("late", [0, 1])
def test_workers_end_by_themselves_and_agree(late: int) -> None:
    workers = run_cluster(PROGRAM, 2, ["late", str(late), "300"])
    assert [worker.returncode for worker in workers] == [0, 0], workers
    (replicas, first_is_chief, total, means), (_, second_is_chief, second_total, second_means) = (
        json.loads(worker.stdout) for worker in workers
    )
    assert replicas == 2
    assert (first_is_chief, second_is_chief) == (True, False)
    assert total == second_total == 20 * (1 + 2)
    assert means == second_means
    assert [float.fromhex(mean) for mean in means] == pytest.approx([0.4, 1.0, 1.5], rel=1e-15)


def test_a_cluster_as_vertex_ai_names_it() -> None:
    workers = run_cluster(PROGRAM, 3, ["nothing", "-1", "300"], chief=True)
    assert [worker.returncode for worker in workers] == [0, 0, 0], workers
    results = [json.loads(worker.stdout) for worker in workers]
    assert [chief for _, chief, _, _ in results] == [True, False, False]
    assert [total for _, _, total, _ in results] == [20 * (1 + 2 + 3)] * 3
    assert results[0][3] == results[1][3] == results[2][3]
    assert float.fromhex(results[0][3][0]) == pytest.approx((0.1 + 0.7 + 1e-9) / 3, rel=1e-15)


@pytest.mark.parametrize("absent", [0, 2])
def test_a_worker_that_never_comes_is_named(absent: int) -> None:
    addresses = free_addresses(3)
    workers = run_cluster(PROGRAM, 3, ["nothing", "-1", "15"], absent={absent}, addresses=addresses)
    for worker in workers:
        assert message(worker).startswith(f"TF_CONFIG cluster: found no sign of {addresses[absent]} within 15 s at ")
        assert "See whether that worker runs" in message(worker)


@pytest.mark.parametrize("started", [0, 1])
def test_a_worker_that_is_gone_when_tensorflow_starts_is_not_waited_for(started: int) -> None:
    (worker,) = run_cluster(PROGRAM, 2, ["gone", "-1", "15"], absent={1 - started})
    assert worker.returncode in (1, 2)
    assert re.search("Timeout|TF_CONFIG cluster: found DeadlineExceededError", worker.stderr)


@pytest.mark.parametrize("killed", [0, 1])
def test_the_others_end_when_a_worker_is_killed(killed: int) -> None:
    addresses = free_addresses(3)
    workers = run_cluster(PROGRAM, 3, ["killed", str(killed), "300"], addresses=addresses)
    assert workers.pop(killed).returncode == -9
    for worker in workers:
        assert message(worker).startswith(f"worker {addresses[killed]}: found no sign of life, expected a worker")


def test_all_stop_together_when_one_is_preempted() -> None:
    workers = run_cluster(PROGRAM, 3, ["preempted", "1", "300"])
    assert [worker.returncode for worker in workers] == [preemption.EXIT_CODE] * 3, workers


@pytest.mark.parametrize("failing", [0, 1])
def test_the_others_learn_why_a_worker_fails(failing: int) -> None:
    addresses = free_addresses(3)
    workers = run_cluster(PROGRAM, 3, ["fails", str(failing), "300"], addresses=addresses)
    failed = workers.pop(failing)
    assert failed.returncode == 1
    assert "ValueError: no «Домик»\nleft" in failed.stderr
    for worker in workers:
        assert message(worker).startswith(f"worker {addresses[failing]}: found ValueError: no «Домик» left, expected a")
