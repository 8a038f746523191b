"""Who trains together: the environment variable TF_CONFIG, checked before TensorFlow reads it.

The format is TensorFlow's (https://www.tensorflow.org/guide/distributed_training, "Setting up the TF_CONFIG environment
variable"). Vertex AI sets it on every machine of a job with several worker pools, with more keys (`environment`, `job`,
`task.trial`, `task.cloud`), which mean nothing here.
"""

import os
import re
from typing import Any, NamedTuple

from components.common import strict_json
from components.common.errors import InputError

TYPES = ("chief", "worker")
EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
CORRECT = "Correct TF_CONFIG, or unset it to train in one process."
NO_OTHER_TYPES = "Remove that worker pool: the Trainer has no parameter servers and evaluates by itself."
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})", re.ASCII)


class Cluster(NamedTuple):
    """The workers that train together, and which of them this process is.

    Attributes:
        members: {"chief": [address], "worker": [address, ...]}; either may be missing. An address is host:port.
        task_type: This process's, chief or worker.
        task_index: This process's, in members[task_type].
    """

    members: dict[str, list[str]]
    task_type: str
    task_index: int

    @property
    def addresses(self) -> list[str]:
        """All addresses, the leader's first."""
        return [address for kind in TYPES for address in self.members.get(kind, [])]

    @property
    def own(self) -> str:
        return self.members[self.task_type][self.task_index]

    @property
    def others(self) -> list[str]:
        return [address for address in self.addresses if address != self.own]

    @property
    def leader(self) -> str:
        """The chief, else the first worker: writes the artifacts and runs TensorFlow's coordination service."""
        return self.addresses[0]


def read() -> Cluster | None:
    """The cluster that TF_CONFIG names; None where it is unset, or names no cluster and no task.

    Raises:
        InputError: TF_CONFIG is malformed, or gives this process a task that the Trainer does not have.
    """
    text = os.environ.get("TF_CONFIG", "{}")
    try:
        config = strict_json.parse(text)
    except strict_json.DocumentError:
        config = None
    if not isinstance(config, dict):
        raise InputError("TF_CONFIG", strict_json.shown(text), f"a JSON object such as {EXAMPLE}", CORRECT)
    task = _object(config, "task")
    if task.get("type") in ("ps", "evaluator"):
        raise InputError("TF_CONFIG task.type", repr(task["type"]), " or ".join(TYPES), NO_OTHER_TYPES)
    members = _members(_object(config, "cluster"))
    if not members and not task:
        return None
    if not members:
        raise InputError("TF_CONFIG cluster", "no addresses", f"those of all workers, as in {EXAMPLE}", CORRECT)
    if not task:
        raise InputError("TF_CONFIG task", "nothing", f"this worker's type and index, as in {EXAMPLE}", CORRECT)
    kind, index = task.get("type"), task.get("index")
    if not isinstance(kind, str) or kind not in members:
        raise InputError("TF_CONFIG task.type", repr(kind), f"{' or '.join(members)}, as the cluster names it", CORRECT)
    last = len(members[kind]) - 1
    if type(index) is not int or not 0 <= index <= last:  # True is an int too
        raise InputError("TF_CONFIG task.index", repr(index), f"a whole number, 0 to {last}, of {kind}", CORRECT)
    return Cluster(members, kind, index)


def host_and_port(address: str) -> tuple[str, int]:
    """Splits host:port; an IPv6 host loses its brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _object(config: dict[str, Any], key: str) -> dict[str, Any]:
    found = config.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"TF_CONFIG {key}", repr(found), f"a JSON object, as in {EXAMPLE}", CORRECT)
    return found


def _members(cluster: dict[str, Any]) -> dict[str, list[str]]:
    for kind, addresses in cluster.items():
        where = f"TF_CONFIG cluster.{kind}"
        if kind not in TYPES:
            raise InputError(where, f"the type {kind!r}", f"only {' and '.join(TYPES)}", NO_OTHER_TYPES)
        if not isinstance(addresses, list) or not addresses:
            raise InputError(where, repr(addresses), "a list of addresses", CORRECT)
        for place, address in enumerate(addresses):
            parts = ADDRESS.fullmatch(address) if isinstance(address, str) else None
            if not parts or not 1 <= int(parts[2]) <= 65535:
                raise InputError(f"{where}[{place}]", repr(address), "host:port, such as 'host1:2222'", CORRECT)
    if len(cluster.get("chief", [])) > 1:
        raise InputError("TF_CONFIG cluster.chief", f"{len(cluster['chief'])} addresses", "one", CORRECT)
    every = [address for addresses in cluster.values() for address in addresses]
    if twice := sorted({address for address in every if every.count(address) > 1}):
        raise InputError("TF_CONFIG cluster", f"{', '.join(twice)} more than once", "every address once", CORRECT)
    return cluster
