"""Pipeline jobs and schedules, as Vertex AI's REST API has them."""

import datetime
import json
import threading
from typing import Any

from tests.servers import vertex_checks, vertex_cron, vertex_metadata, vertex_runner
from tests.servers.vertex_state import PROJECT_NUMBER, Call, RefusedError, State, delete_ended, is_over, now, parsed

PREFIX = "PIPELINE_STATE_"
SCHEDULE_FIELDS = (
    "displayName",
    "cron",
    "startTime",
    "endTime",
    "maxRunCount",
    "maxConcurrentRunCount",
    "allowQueueing",
    "createPipelineJobRequest",
)


def create_job(state: State, call: Call) -> dict[str, Any]:
    """pipelineJobs.create."""
    job = parsed(call.body, call.types.PipelineJob)
    return start_job(state, call.parent, job, call.query.get("pipelineJobId", ""), call.types)


def start_job(state: State, parent: str, job: dict[str, Any], job_id: str, types: Any) -> dict[str, Any]:
    """Checks a job, keeps it, and runs it if the server runs jobs.

    Args:
        state: The server's.
        parent: projects/…/locations/….
        job: A PipelineJob that was parsed.
        job_id: Its id; "" makes one up.
        types: The module of its messages.
    """
    if job_id:
        vertex_checks.check_job_id(job_id)
    vertex_checks.check_pipeline_job(job, types)
    pipeline = job["pipelineSpec"]["pipelineInfo"]["name"]
    job_id = job_id or f"{pipeline[:100]}-{datetime.datetime.now(datetime.UTC):%Y%m%d%H%M%S}-{state.new_id()}"
    created = {**job, "state": f"{PREFIX}PENDING", "jobDetail": {"taskDetails": []}}
    resource = state.put(f"{parent}/pipelineJobs/{job_id}", created)
    resource["jobDetail"].update(vertex_metadata.contexts_of(state, parent, pipeline, job_id))
    root = resource["runtimeConfig"]["gcsOutputDirectory"].rstrip("/")
    if state.runs:
        state.stopping[resource["name"]] = threading.Event()
        arguments = (state, resource, f"{root}/{PROJECT_NUMBER}/{job_id}")
        thread = threading.Thread(target=vertex_runner.run_pipeline, args=arguments, daemon=True)
        state.threads.append(thread)
        thread.start()
    return resource


def get_job(state: State, call: Call) -> dict[str, Any]:
    """pipelineJobs.get; a job that is not run goes from pending over running to its end by being asked for."""
    job = state.get(call.name)
    if state.runs or is_over(job):
        return job
    if job["state"] == f"{PREFIX}PENDING":
        job.update(state=f"{PREFIX}RUNNING", startTime=now(), updateTime=now())
    elif state.ends:
        finish(state, call.name, state.ends)
    return job


def finish(state: State, name: str, ends: str, failed: str = "", message: str = "") -> None:
    """Ends a job that is not run.

    Args:
        state: The server's.
        name: The job.
        ends: SUCCEEDED, FAILED or CANCELLED.
        failed: The task that fails, when the job fails; by default the last one.
        message: What it fails with.
    """
    job, time = state.get(name), now()
    tasks = vertex_runner.in_order(job["pipelineSpec"]["root"]["dag"]["tasks"])
    failed = failed or tasks[-1]
    details = []
    for number, task in enumerate(tasks):
        outcome = "SUCCEEDED"
        if ends != "SUCCEEDED" and number >= tasks.index(failed):
            outcome = ends if task == failed else "NOT_TRIGGERED"
        detail: dict[str, Any] = {
            "taskId": state.new_id(),
            "taskName": task,
            "state": outcome,
            "createTime": time,
            "endTime": time,
        }
        if outcome == "FAILED":
            detail["error"] = {"code": 9, "message": message or "The replica exited with a non-zero status of 1."}
        details.append(detail)
    job["jobDetail"]["taskDetails"] = details
    vertex_runner.close(job, ends, [failed])


def cancel_job(state: State, call: Call) -> dict[str, Any]:
    """pipelineJobs.cancel."""
    job = state.get(call.name)
    if is_over(job):
        raise RefusedError(f"{call.name} is in state {job['state']}; it cannot be cancelled.", "FAILED_PRECONDITION")
    if state.runs:
        job.update(state=f"{PREFIX}CANCELLING", updateTime=now())
        state.stopping[call.name].set()
    else:
        finish(state, call.name, "CANCELLED")
    return {}


def cancel_jobs(state: State, call: Call) -> dict[str, Any]:
    """pipelineJobs.batchCancel."""
    names = parsed(call.body, call.types.BatchCancelPipelineJobsRequest).get("names", [])
    for name in names:
        cancel_job(state, Call(call.parent, name.removeprefix(f"{call.parent}/"), {}, {}, call.types))
    jobs = {"pipelineJobs": [_without_spec(state.get(name)) for name in names]}
    metadata = "BatchCancelPipelineJobsOperationMetadata"
    return state.operation(call.parent, metadata, "BatchCancelPipelineJobsResponse", jobs)


def delete_jobs(state: State, call: Call) -> dict[str, Any]:
    """pipelineJobs.batchDelete."""
    names = parsed(call.body, call.types.BatchDeletePipelineJobsRequest).get("names", [])
    jobs = {"pipelineJobs": [_without_spec(state.get(name)) for name in names]}
    for name in names:
        delete_ended(state, Call(call.parent, name.removeprefix(f"{call.parent}/"), {}, {}, call.types))
    return state.operation(call.parent, "DeleteOperationMetadata", "BatchDeletePipelineJobsResponse", jobs)


def create_schedule(state: State, call: Call) -> dict[str, Any]:
    """schedules.create."""
    schedule = parsed(call.body, call.types.Schedule)
    vertex_checks.check_schedule(schedule, call.parent, call.types)
    schedule.update(state="ACTIVE", startedRunCount="0")
    schedule.setdefault("startTime", now())
    resource = state.put(f"{call.parent}/schedules/{state.new_id()}", schedule)
    _plan(resource)
    return resource


def patch_schedule(state: State, call: Call) -> dict[str, Any]:
    """schedules.patch: only what updateMask names, and only what may be changed."""
    schedule, change = state.get(call.name), parsed(call.body, call.types.Schedule)
    changed = dict(schedule)
    for path in vertex_checks.update_mask(call.query, SCHEDULE_FIELDS):
        changed.pop(path, None)
        if path in change:
            changed[path] = change[path]
    vertex_checks.check_schedule(changed, call.parent, call.types)
    schedule.clear()
    schedule.update(changed, updateTime=now())
    _plan(schedule)
    return schedule


def pause_schedule(state: State, call: Call) -> dict[str, Any]:
    """schedules.pause."""
    schedule = state.get(call.name)
    _expect_state(schedule, "ACTIVE")
    schedule.update(state="PAUSED", lastPauseTime=now(), updateTime=now())
    schedule.pop("nextRunTime", None)
    return {}


def resume_schedule(state: State, call: Call) -> dict[str, Any]:
    """schedules.resume."""
    schedule = state.get(call.name)
    _expect_state(schedule, "PAUSED")
    schedule.update(state="ACTIVE", lastResumeTime=now(), updateTime=now(), catchUp=bool(call.body.get("catchUp")))
    _plan(schedule)
    return {}


def delete_schedule(state: State, call: Call) -> dict[str, Any]:
    """schedules.delete."""
    return state.delete(call.parent, call.name)


def fire(state: State, name: str, types: Any) -> dict[str, Any] | None:
    """What the scheduler does when the time has come.

    Returns:
        The job, or None where as many of the schedule's are under way as may be.
    """
    schedule = state.get(name)
    _expect_state(schedule, "ACTIVE")
    parent = name.rpartition("/schedules/")[0]
    runs = [job for job in state.below(f"{parent}/pipelineJobs") if job.get("scheduleName") == name]
    running, time = [job["name"] for job in runs if not is_over(job)], now()
    if len(running) >= int(schedule["maxConcurrentRunCount"]):
        answer = f"The run was skipped: {', '.join(running)} still running."
        schedule["lastScheduledRunResponse"] = {"scheduledRunTime": time, "runResponse": answer}
        return None
    request = json.loads(json.dumps(schedule["createPipelineJobRequest"]))
    job = {**request["pipelineJob"], "scheduleName": name}
    started = start_job(state, parent, job, "", types)
    schedule["startedRunCount"] = str(int(schedule["startedRunCount"]) + 1)
    schedule["lastScheduledRunResponse"] = {"scheduledRunTime": time, "runResponse": "OK"}
    if schedule["startedRunCount"] == schedule.get("maxRunCount"):
        schedule["state"] = "COMPLETED"
    _plan(schedule)
    return started


def _plan(schedule: dict[str, Any]) -> None:
    schedule.pop("nextRunTime", None)
    moment = vertex_cron.parse(schedule["cron"]).after(datetime.datetime.now(datetime.UTC))
    if schedule["state"] == "ACTIVE" and moment:
        schedule["nextRunTime"] = moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def _expect_state(schedule: dict[str, Any], expected: str) -> None:
    if schedule["state"] != expected:
        message = f"{schedule['name']} is {schedule['state']}, not {expected}."
        raise RefusedError(message, "FAILED_PRECONDITION")


def _without_spec(job: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key not in ("pipelineSpec", "runtimeConfig")}
