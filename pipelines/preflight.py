"""Before a run is submitted: is there what it needs? Bucket, APIs, images, account and quota, asked for all at once."""

import os
import urllib.parse
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console

from components.common import checks
from components.common.errors import InputError
from components.common.google import LOGIN, Where
from pipelines import registries
from pipelines.demand import Asked, beam_options, is_table, machines_of
from pipelines.findings import SECONDS, Finding

# Quota metrics of Vertex AI training are named after the accelerator, but not quite.
QUOTAS = {
    "NVIDIA_TESLA_P4": "p4",
    "NVIDIA_TESLA_P100": "p100",
    "NVIDIA_TESLA_V100": "v100",
    "NVIDIA_TESLA_T4": "t4",
    "NVIDIA_L4": "l4",
    "NVIDIA_TESLA_A100": "a100",
    "NVIDIA_A100_80GB": "a100_80gb",
    "NVIDIA_H100_80GB": "h100",
}
UNLIMITED = -1
NOT_CHECKED = (
    "how much of a quota is in use, CPU and disk quotas, whether machines are free, and what the run's service account "
    "may read and write (the checks use your own credentials)"
)


class Needs(NamedTuple):
    """What a run needs of Google Cloud.

    Attributes:
        root: gs:// folder of its artifacts.
        images: With their registries.
        accelerators: {(Vertex AI's name, on spot machines): how many at once}.
        apis: Such as dataflow.googleapis.com.
        account: Of its steps; "" is the project's Compute Engine account.
        is_cached: Whether earlier runs may answer for steps.
    """

    root: str
    images: list[str]
    accelerators: dict[tuple[str, bool], int]
    apis: list[str]
    account: str = ""
    is_cached: bool = False


def needs_of(job: dict[str, Any]) -> Needs:
    """What a PipelineJob needs."""
    spec, values = job["pipelineSpec"], job["runtimeConfig"]["parameterValues"]
    images, apis = checks.images(spec), []
    if is_table(str(values.get("purchases", ""))):
        apis += ["bigquery.googleapis.com", "bigquerystorage.googleapis.com"]
    beam = beam_options(values)
    if beam.get("runner") == "DataflowRunner":
        apis.append("dataflow.googleapis.com")
        images = sorted({*images, *filter(None, [beam.get("sdk_container_image")])})
    root, account = job["runtimeConfig"]["gcsOutputDirectory"], job.get("serviceAccount", "")
    cached = any(task.get("cachingOptions", {}).get("enableCache") for task in spec["root"]["dag"]["tasks"].values())
    return Needs(root, images, _accelerators(machines_of(spec).values()), [*_apis_of(images), *apis], account, cached)


def needs_of_training(document: dict[str, Any], pools: list[Asked], output: str) -> Needs:
    """What a custom job that trains needs; `output` is the gs:// folder for its model."""
    images = sorted({pool["containerSpec"]["imageUri"] for pool in document["workerPoolSpecs"]})
    return Needs(output, images, _accelerators([pools]), _apis_of(images), document.get("serviceAccount", ""), False)


def _apis_of(images: list[str]) -> list[str]:
    registry = ["artifactregistry.googleapis.com"] if any(".pkg.dev/" in image for image in images) else []
    return ["aiplatform.googleapis.com", "storage.googleapis.com", *registry]


def _accelerators(steps: Iterable[list[Asked]]) -> dict[tuple[str, bool], int]:
    """{(name, on spot machines): how many at once}: the steps run one after the other."""
    found: dict[tuple[str, bool], int] = {}
    for step in steps:
        for key in {(machine.accelerator, machine.spot) for machine in step if machine.accelerator}:
            together = sum(m.accelerators * m.replicas for m in step if (m.accelerator, m.spot) == key)
            found[key] = max(together, found.get(key, 0))
    return found


def expect_all(findings: list[Finding], console: Console) -> None:
    """Prints what was found; raises InputError when something is missing."""
    for state, text, command in findings:
        remedy = f" {'Mend it' if state == 'missing' else 'Perhaps'}: {command}" if command else ""
        console.print(f"{state}: {text}{remedy}", soft_wrap=True)
    console.print(f"not checked: {NOT_CHECKED}", soft_wrap=True)
    if missing := [finding.text for finding in findings if finding.state == "missing"]:
        remedy = "Run the commands above; --no-preflight submits all the same."
        raise InputError("preflight", f"that something is missing ({' '.join(missing)})", "all there", remedy)


def preflight(where: Where, needs: Needs) -> list[Finding]:
    """Asks Google Cloud for everything that the run needs.

    Args:
        where: Whose Vertex AI.
        needs: What the run needs.

    Returns:
        What was found, problems first.

    Raises:
        InputError: credentials that have expired or cannot be refreshed: nothing else can be asked then.
    """
    session = _session(where)
    questions: list[partial[Iterator[Finding]]] = [
        partial(_bucket, session, where, needs.root),
        partial(_apis, session, where, needs.apis),
        partial(_account, session, where, needs.account),
        *(partial(registries.image, session, image, is_cached=needs.is_cached) for image in needs.images),
        *(partial(_quota, session, where, *key, count) for key, count in needs.accelerators.items()),
    ]
    with ThreadPoolExecutor(len(questions)) as pool:
        found = [finding for findings in pool.map(_asked, questions) for finding in findings]
    return sorted(found, key=lambda finding: ("missing", "careful", "not checked", "fine").index(finding.state))


def _asked(question: partial[Iterator[Finding]]) -> list[Finding]:
    from google.auth.exceptions import GoogleAuthError

    try:
        return list(question())
    # All of requests' errors, timeouts included; a login that ends meanwhile; an answer that is not as documented.
    except (OSError, GoogleAuthError, KeyError, TypeError) as error:
        what = " ".join(str(value) for value in question.args[1:] if not isinstance(value, Where))
        return [Finding("not checked", f"{what}: no answer ({type(error).__name__}).")]


def _session(where: Where) -> Any:
    """A session with a token that works: a stale one would make every question fail in its own way."""
    from google.auth import exceptions
    from google.auth.transport.requests import AuthorizedSession, Request

    if not where.is_local and not where.credentials.valid:
        try:
            where.credentials.refresh(partial(Request(), timeout=SECONDS))
        except exceptions.RefreshError as error:
            found = f"expired or refused ones ({error.args[0] if error.args else error})"
            raise InputError("credentials", found, "valid ones", LOGIN) from error
        except exceptions.TransportError as error:
            remedy = "Check the network, or leave the checks out with --no-preflight."
            raise InputError("credentials", "no answer to the refresh", "an answer", remedy) from error
    return AuthorizedSession(where.credentials, refresh_timeout=SECONDS)


def _get(session: Any, where: Where, service: str, path: str, **parameters: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON of one of Google's REST APIs; a server on this machine stands for all of them."""
    # With a real Vertex AI the emulator is somebody's left-over variable, and must not see the token.
    if service == "storage" and where.is_local and "STORAGE_EMULATOR_HOST" in os.environ:
        host = os.environ["STORAGE_EMULATOR_HOST"]
        base = host if "://" in host else f"http://{host}"
    else:
        base = where.address if where.is_local else f"https://{service}.googleapis.com"
    answer = session.get(f"{base}{path}", params=parameters, timeout=SECONDS)
    try:
        document = answer.json()
    except ValueError:
        document = {}
    return answer.status_code, document if isinstance(document, dict) else {}


def _bucket(session: Any, where: Where, root: str) -> Iterator[Finding]:
    name = checks.bucket("--pipeline-root", root)
    status, document = _get(session, where, "storage", f"/storage/v1/b/{name}")
    if status == 404:
        command = f"gcloud storage buckets create gs://{name} --location={where.location} --project={where.project_id}"
        yield Finding("missing", f"The bucket gs://{name} does not exist.", command)
    elif status == 403:
        member = f"gcloud storage buckets add-iam-policy-binding gs://{name} --member=user:YOU"
        text = f"You may not look at the bucket gs://{name}, or it is somebody else's."
        yield Finding("not checked", text, f"{member} --role=roles/storage.legacyBucketReader")
    elif status != 200:
        yield Finding("not checked", f"The bucket gs://{name}: Cloud Storage answered with {status}.")
    elif document.get("location", "").lower() not in ("", where.location):
        place = document["location"].lower()
        yield Finding("fine", f"The bucket gs://{name} is there, but in {place}: what crosses regions is billed.")
    else:
        yield Finding("fine", f"The bucket gs://{name} is there.")


def _apis(session: Any, where: Where, names: list[str]) -> Iterator[Finding]:
    project = f"projects/{where.project_id}"
    asked = [f"{project}/services/{name}" for name in names]
    status, document = _get(session, where, "serviceusage", f"/v1/{project}/services:batchGet", names=asked)
    if status != 200:
        why = "Service Usage is disabled, or you may not ask it" if status == 403 else f"the answer was {status}"
        yield Finding("not checked", f"Whether {', '.join(names)} are enabled: {why}.")
        return
    states = {service["config"]["name"]: service.get("state") for service in document.get("services", [])}
    for name in names:
        if states.get(name) == "ENABLED":
            yield Finding("fine", f"{name} is enabled.")
        else:
            command = f"gcloud services enable {name} --project={where.project_id}"
            yield Finding("missing", f"The API {name} is not enabled.", command)


def _account(session: Any, where: Where, email: str) -> Iterator[Finding]:
    if not email:
        yield Finding("fine", "The steps run as the project's Compute Engine account.")
        return
    status, document = _get(session, where, "iam", f"/v1/projects/-/serviceAccounts/{email}")
    if status == 404:
        command = f"gcloud iam service-accounts create {email.partition('@')[0]} --project={where.project_id}"
        yield Finding("missing", f"The service account {email} does not exist.", command)
    elif status == 200 and document.get("disabled"):
        yield Finding("missing", f"{email} is disabled.", f"gcloud iam service-accounts enable {email}")
    elif status == 200:
        yield Finding("fine", f"The service account {email} is there.")
    else:
        yield Finding("not checked", f"The service account {email}: the answer was {status}.")


def _quota(session: Any, where: Where, kind: str, spot: bool, count: int) -> Iterator[Finding]:
    """The limit alone, of Service Usage's consumerQuotaMetrics."""
    if kind not in QUOTAS:
        yield Finding("not checked", f"The quota of {kind}: its metric's name is not known here.")
        return
    metric = f"custom_model_training_{'preemptible_' * spot}nvidia_{QUOTAS[kind]}_gpus"
    service = f"/v1beta1/projects/{where.project_id}/services/aiplatform.googleapis.com"
    name = urllib.parse.quote(f"aiplatform.googleapis.com/{metric}", safe="")
    status, document = _get(session, where, "serviceusage", f"{service}/consumerQuotaMetrics/{name}", view="FULL")
    buckets = [b for limit in document.get("consumerQuotaLimits", []) for b in limit.get("quotaBuckets", [])]
    here = [b for b in buckets if b.get("dimensions", {}).get("region") == where.location]
    limits = [int(b.get("effectiveLimit", 0)) for b in here or [b for b in buckets if not b.get("dimensions")]]
    if status != 200 or not limits:
        yield Finding("not checked", f"The quota {metric}: the answer was {status}.")
    elif UNLIMITED not in limits and min(limits) < count:
        text = f"The quota {metric} in {where.location} is {min(limits)}, and a step needs {count}."
        page = f"https://console.cloud.google.com/iam-admin/quotas?project={where.project_id}"
        yield Finding("missing", text, f"ask for more at {page} (filter: {metric})")
    else:
        yield Finding("fine", f"The quota {metric} in {where.location} allows {count}.")
