"""The body of a PipelineJob, as Vertex AI's REST interface takes it: a compiled pipeline and what to run it with."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from components.common import checks, strict_json
from components.common.errors import InputError, expect_choice
from components.common.shipped import FEATURE_CONFIG

FailurePolicy = Literal["fast", "slow"]

TYPES: dict[str, tuple[str, Any]] = {  # of pipeline parameters, as KFP names them
    "STRING": ("text", str),
    "NUMBER_INTEGER": ("a whole number", int),
    "NUMBER_DOUBLE": ("a number", (int, float)),
    "BOOLEAN": ("true or false", bool),
    "LIST": ("a list, as JSON", list),
    "STRUCT": ("an object, as JSON", dict),
}
LABEL_KEY = re.compile(r"[^\W\dA-Z_][\w-]{0,62}")
LABEL_VALUE = re.compile(r"[\w-]{0,63}")
MOST_LABELS = 64
NETWORK = re.compile(r"projects/\d+/global/networks/[a-z0-9-]+")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to run a pipeline with.

    Args:
        job_body: File for the body of a PipelineJob, for REST; by default job.json beside the pipeline if one of the
            following is given, which are all for it, and else none.
        parameters: The pipeline's parameters, such as purchases=my-project.shop.purchases epochs=20 'ks=[5, 10]'.
        feature_config: The feature config's file, whose text becomes the parameter feature_config; by default the one
            that is shipped.
        service_account: That the steps run as; "" takes the project's default.
        network: projects/NUMBER/global/networks/NAME, to peer with; "" peers with none.
        labels: Labels of the run, such as team=recs.
        failure_policy: fast stops all steps when one fails, slow lets those that run end.
    """

    job_body: str = ""
    parameters: tuple[str, ...] = ()
    feature_config: str = FEATURE_CONFIG
    service_account: str = ""
    network: str = ""
    labels: tuple[str, ...] = ()
    failure_policy: FailurePolicy = "slow"


NO_JOB = Job()


def body(document: dict[str, Any], job: Job, root: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The PipelineJob, parsed strictly.

    Args:
        document: The compiled pipeline.
        job: What to run it with.
        root: A gs:// folder for the artifacts.
        parameters: As parameter_values gives them.

    Raises:
        InputError: something that Vertex AI would refuse.
    """
    expect_choice("--failure-policy", job.failure_policy, get_args(FailurePolicy))
    message: dict[str, Any] = {
        "displayName": document["pipelineInfo"]["name"],
        "pipelineSpec": document,
        "runtimeConfig": {
            "gcsOutputDirectory": expect_root(root),
            "parameterValues": parameters,
            "failurePolicy": f"PIPELINE_FAILURE_POLICY_FAIL_{job.failure_policy.upper()}",
        },
    }
    if job.labels:
        message["labels"] = label_values(job.labels)
    message |= owner(job.service_account, job.network)
    validate(message)
    return message


def owner(service_account: str, network: str) -> dict[str, str]:
    """serviceAccount and network of a job, as far as they are given.

    Raises:
        InputError: one of them is malformed.
    """
    checks.account("--service-account", service_account)
    if network and not NETWORK.fullmatch(network):
        remedy = "Correct the name; it holds the project's number, not its id."
        raise InputError("--network", network, "projects/NUMBER/global/networks/NAME", remedy)
    return {name: value for name, value in (("serviceAccount", service_account), ("network", network)) if value}


def validate(message: dict[str, Any]) -> None:
    """Parses a PipelineJob strictly.

    Raises:
        google.protobuf.json_format.ParseError: naming the field.
    """
    from google.cloud import aiplatform_v1
    from google.protobuf import json_format

    json_format.ParseDict(message, aiplatform_v1.PipelineJob.pb()())


def expect_root(root: str) -> str:
    """The pipeline root, unless it is no folder in a bucket.

    Raises:
        InputError: it has no bucket, or is not in Cloud Storage.
    """
    checks.bucket("--pipeline-root", root)
    return root.rstrip("/")


def label_values(labels: Sequence[str]) -> dict[str, str]:
    """{key: value} of key=value texts, as Vertex AI takes them.

    Raises:
        InputError: a label that Vertex AI refuses (https://cloud.google.com/vertex-ai/docs/general/labels).
    """
    pairs = pairs_of("--labels", labels)
    for key, value in pairs.items():
        text = f"{key}={value}"
        is_lower = text == text.lower()
        if not (is_lower and LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value)):
            expected = "key=value, each up to 63 lowercase letters, digits, - and _, the key a letter first"
            raise InputError("--labels", repr(text), expected, "Correct the label.")
    if len(pairs) > MOST_LABELS:
        raise InputError("--labels", f"{len(pairs)} labels", f"{MOST_LABELS} at most", "Leave some out.")
    return pairs


def pairs_of(flag: str, pairs: Sequence[str]) -> dict[str, str]:
    """{name: value} of a flag's name=value pairs.

    Raises:
        InputError: a pair without = or name, or a name that is given twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(flag, repr(pair), "name=value", "Put = between the name and the value.")
        if name in found:
            raise InputError(flag, f"{name} twice", "every name once", "Remove one of them.")
        found[name] = value
    return found


def declared(document: dict[str, Any]) -> dict[str, Any]:
    """{parameter: its definition} of a compiled pipeline."""
    return dict(document["root"].get("inputDefinitions", {}).get("parameters", {}))


def defaults(document: dict[str, Any]) -> dict[str, Any]:
    """{parameter: its default} of a compiled pipeline, as far as there are any."""
    return {name: body["defaultValue"] for name, body in declared(document).items() if "defaultValue" in body}


def parameter_values(document: dict[str, Any], given: Sequence[str], others: dict[str, Any]) -> dict[str, Any]:
    """The pipeline's parameters by name, each of the type that the pipeline declares.

    Args:
        document: The compiled pipeline.
        given: name=value each; numbers, true, false, lists and objects as in JSON.
        others: Values of parameters that `given` leaves out.

    Raises:
        InputError: an unknown parameter or one that is given twice, a value of another type, or one that is needed
            and missing.
    """
    known = declared(document)
    values = dict(others)
    for name, value in pairs_of("--parameters", given).items():
        if name not in known:
            raise InputError("--parameters", name, f"one of {', '.join(sorted(known))}", "Correct the name.")
        values[name] = _typed(name, value, known[name]["parameterType"])
    if missing := sorted(name for name, kind in known.items() if name not in values and not kind.get("isOptional")):
        remedy = f"Add --parameters {' '.join(f'{name}=…' for name in missing)}"
        raise InputError("--parameters", f"nothing for {', '.join(missing)}", "a value", f"{remedy}.")
    return values


def _typed(name: str, text: str, kind: str) -> Any:
    what, types = TYPES[kind]
    if kind == "STRING":
        return text
    value, reason = None, ""
    try:
        value = strict_json.parse(text)
    except strict_json.DocumentError as error:
        reason = f" ({error})" if " twice" in str(error) else ""
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "BOOLEAN"):
        raise InputError(f"--parameters {name}", f"{strict_json.shown(text)}{reason}", what, "Correct the value.")
    return value
