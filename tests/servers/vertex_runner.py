"""Runs a submitted PipelineSpec here: every task a process of its own, artifacts in the folder that stands for buckets.

What a task sees is what it sees on Vertex AI: gs:// addresses, Cloud Storage behind them (the emulator over the same
folder), and for KFP's executor the folder itself in the place of the /gcs mount. Retries wait BACKOFF_SECONDS, at most.
"""

import concurrent.futures
import hashlib
import json
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.servers import vertex_launcher, vertex_process, vertex_values
from tests.servers.vertex_state import TERMINAL, State, now

BACKOFF_SECONDS = 0.2
NO_RETRY: dict[str, Any] = {"maxRetryCount": 0}


@dataclass
class Run:
    """A pipeline that is under way.

    Args:
        state: The server's.
        job: The PipelineJob, whose jobDetail is kept up to date.
        root: gs:// folder of the run's artifacts.

    Attributes:
        details: taskDetails by the task's name.
        outputs: By the task's name: {"parameters": {name: value}, "artifacts": {name: artifact}}.
    """

    state: State
    job: dict[str, Any]
    root: str
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def stopping(self) -> threading.Event:
        return self.state.stopping[self.job["name"]]

    def note(self, task: str, outcome: str, message: str = "") -> None:
        """Sets a task's state, with its times and, if it failed, why."""
        with self.state.lock:
            detail, moment = self.details[task], now()
            status: dict[str, Any] = {"updateTime": moment, "state": outcome}
            if message:
                status["error"] = detail["error"] = {"code": 9, "message": message}
            detail["pipelineTaskStatus"].append(status)
            detail["state"] = outcome
            if outcome == "RUNNING":
                detail.setdefault("startTime", moment)
            if outcome in TERMINAL:
                detail["endTime"] = moment
            if outcome == "SUCCEEDED":
                detail.pop("error", None)  # of an earlier attempt
            self.job["updateTime"] = moment


class TaskError(Exception):
    """Why a task failed."""


def run_pipeline(state: State, job: dict[str, Any], root: str) -> None:
    """Runs the job to its end; to be called in a thread.

    Args:
        state: The server's.
        job: A PipelineJob that was checked.
        root: gs:// folder of the run's artifacts.
    """
    run = Run(state, job, root)
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    with state.lock:
        job["startTime"] = now()
        if not run.stopping.is_set():
            job["state"] = "PIPELINE_STATE_RUNNING"
        for name in in_order(tasks):
            run.details[name] = {
                "taskId": state.new_id(),
                "taskName": name,
                "createTime": now(),
                "state": "PENDING",
                "pipelineTaskStatus": [],
            }
        job["jobDetail"]["taskDetails"] = list(run.details.values())
    try:
        _run_tasks(run, tasks)
    finally:
        failed = [name for name, detail in run.details.items() if detail["state"] == "FAILED"]
        with state.lock:
            close(job, "CANCELLED" if run.stopping.is_set() else "FAILED" if failed else "SUCCEEDED", failed)


def close(job: dict[str, Any], ends: str, failed: list[str]) -> None:
    """Gives a job its last state, and the error that says which tasks failed."""
    job.update(state=f"PIPELINE_STATE_{ends}", endTime=now(), updateTime=now())
    if ends == "FAILED":
        message = f"The DAG failed because some tasks failed. The failed tasks are: [{', '.join(failed)}]."
        job["error"] = {"code": 9, "message": message}
    elif ends == "CANCELLED":
        job["error"] = {"code": 1, "message": "The pipeline job was cancelled."}


def in_order(tasks: dict[str, Any]) -> list[str]:
    """The tasks' names, each after those it waits for."""
    ordered: list[str] = []
    while len(ordered) < len(tasks):
        ready = [
            name
            for name, task in tasks.items()
            if name not in ordered and set(task.get("dependentTasks", [])) <= set(ordered)
        ]
        if not ready:
            raise ValueError(f"tasks wait for each other: {sorted(set(tasks) - set(ordered))}")
        ordered.extend(ready)
    return ordered


def _run_tasks(run: Run, tasks: dict[str, Any]) -> None:
    """Starts tasks as soon as those before them are done."""
    fail_fast = run.job["runtimeConfig"].get("failurePolicy") == "PIPELINE_FAILURE_POLICY_FAIL_FAST"
    waiting = dict(tasks)
    running: dict[concurrent.futures.Future[None], str] = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(tasks)) as pool:
        while waiting or running:
            states = {name: detail["state"] for name, detail in run.details.items()}
            stop = run.stopping.is_set() or (fail_fast and "FAILED" in states.values())
            for name, task in list(waiting.items()):
                before = {states[other] for other in task.get("dependentTasks", [])}
                always = task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
                if stop or (before & {"FAILED", "CANCELLED", "NOT_TRIGGERED"} and not always):
                    run.note(name, "CANCELLED" if run.stopping.is_set() else "NOT_TRIGGERED")
                    states[name] = run.details[name]["state"]
                elif not before <= TERMINAL:
                    continue
                else:
                    running[pool.submit(_run_task, run, name, task)] = name
                del waiting[name]
            if running:
                done, _ = concurrent.futures.wait(running, 0.2, concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    del running[future]
                    future.result()  # an error of the server itself must not pass for one of the task


def _run_task(run: Run, name: str, task: dict[str, Any]) -> None:
    policy = task.get("retryPolicy", NO_RETRY)
    attempts = 1 + int(policy.get("maxRetryCount", 0))
    for attempt in range(attempts):
        run.note(name, "RUNNING")
        try:
            cached = _attempt(run, name, task)
        except TaskError as error:
            if run.stopping.is_set():
                run.note(name, "CANCELLED")
                return
            run.note(name, "FAILED" if attempt == attempts - 1 else "PENDING", str(error))
            wait = float(str(policy.get("backoffDuration", "0s")).rstrip("s"))
            run.stopping.wait(min(wait, BACKOFF_SECONDS))
        except Exception as error:
            run.note(name, "FAILED", f"the test server could not run it: {error!r}")
            raise
        else:
            run.note(name, "SKIPPED" if cached else "SUCCEEDED")
            return


def _attempt(run: Run, name: str, task: dict[str, Any]) -> bool:
    """Runs a task once.

    Returns:
        Whether its outputs were those of an earlier run.
    """
    spec = run.job["pipelineSpec"]
    component = spec["components"][task["componentRef"]["name"]]
    looped = {"parameterIterator", "artifactIterator"} & set(task) or "condition" in task.get("triggerPolicy", {})
    if looped or "executorLabel" not in component:
        raise TaskError("this server runs no conditions, loops or pipelines in pipelines")
    executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
    inputs = vertex_values.inputs(run, task, component)
    detail = run.details[name]
    with run.state.lock:
        detail["inputs"] = vertex_values.artifact_lists(inputs["artifacts"])
    if "importer" in executor:
        run.outputs[name] = vertex_values.imported(run, executor["importer"], inputs["parameterValues"], component)
        detail["outputs"] = vertex_values.artifact_lists(run.outputs[name]["artifacts"])
        return False
    key = hashlib.sha256(json.dumps([executor, component, inputs], sort_keys=True).encode()).hexdigest()
    caches = task.get("cachingOptions", {}).get("enableCache", False)
    cached = caches and key in run.state.cached
    if cached:
        run.outputs[name] = run.state.cached[key]
    else:
        folder = f"{run.root}/{name}_{run.state.new_id()}"  # a new one for every attempt
        asked = {"inputs": inputs, "outputs": vertex_values.outputs(run, component, folder)}
        _execute(run, name, executor["container"], vertex_values.as_executor_input(asked), folder)
        run.outputs[name] = vertex_values.collected(run.state, asked["outputs"])
        if caches:
            run.state.cached[key] = run.outputs[name]
    with run.state.lock:
        detail["outputs"] = vertex_values.artifact_lists(run.outputs[name]["artifacts"])
    return cached


def _execute(run: Run, name: str, container: dict[str, Any], executor_input: dict[str, Any], folder: str) -> None:
    """Runs a container's command to its end, or until the job is cancelled."""
    command = [*container.get("command", []), *container.get("args", [])]
    if vertex_launcher.MODULE in command:
        if message := vertex_launcher.run(run, container, executor_input):
            raise TaskError(message)
        return
    command = vertex_values.resolved(run, command, executor_input, name)
    environment = {variable["name"]: variable["value"] for variable in container.get("env", [])}
    log = run.state.folder / "_logs" / run.job["name"].rpartition("/")[2] / f"{folder.rpartition('/')[2]}.log"
    process = vertex_process.start(run.state, container["image"], command, environment, log)
    while True:
        try:
            status = process.wait(0.1)
            break
        except subprocess.TimeoutExpired:
            if run.stopping.is_set():
                vertex_process.stop(process)
                raise TaskError("cancelled") from None
    if status:
        message = f"The replica workerpool0-0 exited with a non-zero status of {status}. "
        raise TaskError(f"{message}To find out more about why your job exited please check the logs: {log}")
