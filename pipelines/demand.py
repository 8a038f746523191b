"""What a run asks of Google Cloud: its steps' machines, BigQuery, Dataflow."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from components.common.errors import InputError

# What a step gets that asks for nothing:
# https://cloud.google.com/vertex-ai/docs/pipelines/machine-types
DEFAULT = "e2-standard-4"
TABLE = re.compile(r"[^/.\s]+(\.[^/.\s]+){2}")
UNITS = {"": 2**-30, "K": 1e3 / 2**30, "M": 1e6 / 2**30, "G": 1e9 / 2**30, "KI": 2**-20, "MI": 2**-10, "GI": 1.0}


class Asked(NamedTuple):
    """What a step asks for.

    Attributes:
        type: Such as a2-highgpu-2g; "" where Vertex AI chooses by the rest.
        cpus: Virtual CPUs at least.
        memory_gib: At least.
        accelerator: Vertex AI's name, or "".
        accelerators: How many a machine.
        replicas: Machines of this kind.
        spot: Whether they may be taken away.
    """

    type: str = ""
    cpus: float = 0.0
    memory_gib: float = 0.0
    accelerator: str = ""
    accelerators: int = 0
    replicas: int = 1
    spot: bool = False


def machines_of(spec: dict[str, Any]) -> dict[str, list[Asked]]:
    """{step: its machines} of a compiled pipeline; an importer needs none.

    A step that is a custom job has several, where its worker pools are given in the spec.
    """
    found = {}
    for step, task in spec["root"]["dag"]["tasks"].items():
        component = spec["components"][task["componentRef"]["name"]]
        executor = spec["deploymentSpec"]["executors"].get(component.get("executorLabel", ""), {})
        pools = list(_pools([task, component, executor]))
        given = component.get("inputDefinitions", {}).get("parameters", {}).get("strategy", {})
        spot = given.get("defaultValue") == "SPOT"
        if pools:
            found[step] = [_of_pool(pool, spot) for pool in pools]
        else:
            found[step] = [] if "importer" in executor else [_of_resources(executor)]
    return found


def pools_of(document: dict[str, Any]) -> list[Asked]:
    """The machines of a CustomJobSpec."""
    spot = document.get("scheduling", {}).get("strategy") == "SPOT"
    return [_of_pool(pool, spot) for pool in _pools(document)]


def is_table(purchases: str) -> bool:
    """Whether a purchase log is a BigQuery table, project.dataset.table, and no file."""
    return bool(TABLE.fullmatch(purchases)) and not purchases.endswith(".parquet")


def beam_options(values: dict[str, Any]) -> dict[str, str]:
    """{option: value} of the parameter beam_options.

    Raises:
        InputError: it cannot be taken apart.
    """
    text = str(values.get("beam_options", ""))
    try:
        options = shlex.split(text)
    except ValueError as error:
        raise InputError("beam_options", f"{text!r} ({error})", "--name=value, …", "Correct the quotes.") from error
    return dict(option.lstrip("-").split("=", 1) for option in options if "=" in option)


def _of_resources(executor: dict[str, Any]) -> Asked:
    resources = executor.get("container", {}).get("resources", {})
    used = resources.get("accelerator", {})
    cpus = float(resources.get("resourceCpuLimit") or resources.get("cpuLimit") or 0)
    # memoryLimit is in GB, resourceMemoryLimit has its unit.
    memory = resources.get("resourceMemoryLimit") or f"{resources.get('memoryLimit', 0)}G"
    kind = used.get("resourceType") or used.get("type") or ""
    count = int(used.get("resourceCount") or used.get("count") or 1) if kind else 0
    return Asked("" if cpus or kind or _gib(memory) else DEFAULT, cpus, _gib(memory), kind, count)


def _gib(text: str) -> float:
    matched = re.fullmatch(r"([\d.]+)\s*([KMG]?I?)B?", str(text).upper())
    return float(matched[1]) * UNITS[matched[2]] if matched else 0.0


def _of_pool(pool: dict[str, Any], spot: bool) -> Asked:
    machine = {_snake(key): value for key, value in pool["machine_spec"].items()}
    kind = machine.get("accelerator_type", "").replace("ACCELERATOR_TYPE_UNSPECIFIED", "")
    count = int(machine.get("accelerator_count") or 1) if kind else 0
    replicas = int(pool.get("replica_count") or 1)
    return Asked(machine.get("machine_type", DEFAULT), 0.0, 0.0, kind, count, replicas, spot)


def _pools(value: Any) -> Iterator[dict[str, Any]]:
    """Worker pools anywhere in a step, JSON inside of strings included."""
    if isinstance(value, dict):
        named = {_snake(key): item for key, item in value.items()}
        if isinstance(named.get("machine_spec"), dict):
            yield named
        else:
            for item in value.values():
                yield from _pools(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pools(item)
    elif isinstance(value, str) and "achine" in value and value.lstrip().startswith(("{", "[")):
        try:
            inside = json.loads(value)
        except (ValueError, RecursionError):  # a template with {{$.inputs…}} in the place of a number
            return
        yield from _pools(inside)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f"_{found[1].lower()}", name)
