"""Custom jobs, as Vertex AI's REST API has them; those that run are a process for every replica."""

import json
import socket
import subprocess
import threading
from typing import Any

from tests.servers import vertex_checks, vertex_process
from tests.servers.vertex_state import Call, RefusedError, State, is_over, now, parsed

PREFIX = "JOB_STATE_"


def create(state: State, call: Call) -> dict[str, Any]:
    """customJobs.create."""
    job = keep(state, call.parent, call.body, call.types)
    if state.runs:
        state.stopping[job["name"]] = threading.Event()
        thread = threading.Thread(target=run, args=(state, job), daemon=True)
        state.threads.append(thread)
        thread.start()
    return job


def keep(state: State, parent: str, body: dict[str, Any], types: Any) -> dict[str, Any]:
    """Checks a job and keeps it, without running it."""
    job = parsed(body, types.CustomJob)
    vertex_checks.check_custom_job(job, types)
    return state.put(f"{parent}/customJobs/{state.new_id()}", {**job, "state": f"{PREFIX}PENDING"})


def get(state: State, call: Call) -> dict[str, Any]:
    """customJobs.get; a job that is not run goes from pending over running to its end by being asked for."""
    job = state.get(call.name)
    if state.runs or is_over(job):
        return job
    if job["state"] == f"{PREFIX}PENDING":
        job.update(state=f"{PREFIX}RUNNING", startTime=now(), updateTime=now())
    elif state.ends:
        _close(job, state.ends, "The replica workerpool0-0 exited with a non-zero status of 1.")
    return job


def cancel(state: State, call: Call) -> dict[str, Any]:
    """customJobs.cancel."""
    job = state.get(call.name)
    if is_over(job):
        raise RefusedError(f"{call.name} is in state {job['state']}; it cannot be cancelled.", "FAILED_PRECONDITION")
    if state.runs:
        job.update(state=f"{PREFIX}CANCELLING", updateTime=now())
        state.stopping[call.name].set()
    else:
        _close(job, "CANCELLED")
    return {}


def run(state: State, job: dict[str, Any]) -> None:
    """Runs a job to its end, every replica a process; it ends when one of them fails."""
    stopping, job_id = state.stopping[job["name"]], job["name"].rpartition("/")[2]
    with state.lock:
        job.update(state=f"{PREFIX}RUNNING", startTime=now(), updateTime=now())
    processes: dict[str, subprocess.Popen[bytes]] = {}
    for replica, (container, environment) in _replicas(job["jobSpec"]).items():
        command = [*container.get("command", []), *container.get("args", [])]
        variables = {variable["name"]: variable["value"] for variable in container.get("env", [])}
        log = state.folder / "_logs" / job_id / f"{replica}.log"
        processes[replica] = vertex_process.start(
            state, container["imageUri"], command, {**environment, **variables}, log
        )
    failed = ""
    while not failed and not stopping.wait(0.1):
        statuses = {replica: process.poll() for replica, process in processes.items()}
        failed = next((replica for replica, status in statuses.items() if status), "")
        if set(statuses.values()) == {0}:
            break
    for process in processes.values():
        vertex_process.stop(process)  # the others of a cluster wait for the one that failed
    logs = state.folder / "_logs" / job_id
    with state.lock:
        if stopping.is_set():
            _close(job, "CANCELLED")
        elif failed:
            status = processes[failed].returncode
            _close(job, "FAILED", f"The replica {failed} exited with a non-zero status of {status}. See {logs}.")
        else:
            _close(job, "SUCCEEDED")


def _replicas(spec: dict[str, Any]) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """Every replica's container, and TF_CONFIG and CLUSTER_SPEC as Vertex AI sets them where there are several."""
    pools = spec["workerPoolSpecs"]
    found = [
        (number, index, pool["containerSpec"])
        for number, pool in enumerate(pools)
        for index in range(int(pool.get("replicaCount", 0)))
    ]
    base = spec.get("baseOutputDirectory", {}).get("outputUriPrefix", "").rstrip("/")
    shared = {"AIP_MODEL_DIR": f"{base}/model/", "AIP_CHECKPOINT_DIR": f"{base}/checkpoints/"} if base else {}
    if len(found) == 1:
        return {"workerpool0-0": (found[0][2], shared)}
    roles = ["chief", "worker", "ps", "evaluator"]
    addresses: dict[int, list[str]] = {}
    for number, _, _ in found:
        addresses.setdefault(number, []).append(f"127.0.0.1:{_free_port()}")
    replicas = {}
    for number, index, container in found:
        config = {
            "cluster": {roles[pool]: hosts for pool, hosts in addresses.items()},
            "task": {"type": roles[number], "index": index},
        }
        cluster = {
            "cluster": {f"workerpool{pool}": hosts for pool, hosts in addresses.items()},
            "task": {"type": f"workerpool{number}", "index": index},
        }
        variables = {"TF_CONFIG": json.dumps(config), "CLUSTER_SPEC": json.dumps(cluster)}
        replicas[f"workerpool{number}-{index}"] = (container, {**shared, **variables})
    return replicas


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _close(job: dict[str, Any], ends: str, message: str = "") -> None:
    job.update(state=f"{PREFIX}{ends}", endTime=now(), updateTime=now())
    if ends == "FAILED":
        job["error"] = {"code": 9, "message": message}
    elif ends == "CANCELLED":
        job["error"] = {"code": 1, "message": "The job was cancelled."}
