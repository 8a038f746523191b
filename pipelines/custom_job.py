"""The Trainer alone as a Vertex AI custom job: on one machine, or on a cluster that trains together."""

import copy
import glob
from dataclasses import dataclass, replace
from typing import Any

from components.common import checks
from components.common.shipped import FEATURE_CONFIG
from pipelines import job as jobs
from pipelines import parameters, runs
from pipelines.machines import Machine

COMMAND = ["python", "-m", "trainer_image.main"]
MACHINE_TYPE = "n1-standard-8"  # what the pipeline's Trainer gets by default


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained on what.

    Args:
        image: The Trainer's image with its registry.
        tfrecords_path: gs:// folder of the examples, or a folder or glob of shards that nobody split.
        vocabularies_path: gs:// path of the vocabularies.
        output_path: gs:// folder for the model.
        metadata_path: metadata.json of the examples; by default the one in their folder or, of a glob, in that of its
            shards or beside it.
        parameters: The Trainer's other flags as name=value, for example epochs=20.
        feature_config: The feature config's file, whose text is passed on; by default the one that is shipped.
        service_account: Whom it runs as; by default the project's Compute Engine account.
        network: VPC network to peer with, projects/NUMBER/global/networks/NAME.
        labels: name=value, for bills and filters.
    """

    image: str
    tfrecords_path: str
    vocabularies_path: str
    output_path: str
    metadata_path: str = ""
    parameters: tuple[str, ...] = ()
    feature_config: str = FEATURE_CONFIG
    service_account: str = ""
    network: str = ""
    labels: tuple[str, ...] = ()


def spec(training: Training, machine: Machine, rerun: dict[str, Any]) -> dict[str, Any]:
    """The CustomJobSpec, as REST and `gcloud ai custom-jobs create --config` write it.

    Args:
        training: What is trained on what.
        machine: On what; without a machine type on an n1-standard-8.
        rerun: The compiled pipeline of the Trainer alone, which knows the types of its parameters.

    Raises:
        InputError: a parameter, image, path, machine or account that would fail there.
    """
    checks.image("--image", training.image)
    owner = jobs.owner(training.service_account, training.network)
    machine = replace(machine, machine_type=machine.machine_type or MACHINE_TYPE).checked()
    container = {"imageUri": training.image, "command": COMMAND, "args": arguments(training, rerun)}
    asked: dict[str, Any] = {"machineType": machine.machine_type}
    if machine.accelerator:
        asked |= {"acceleratorType": machine.accelerator, "acceleratorCount": machine.accelerator_count}
    # Vertex AI makes TF_CONFIG of the pools: the first is the chief and has one machine, the second the workers.
    pools = [1, machine.replicas - 1] if machine.replicas > 1 else [1]
    document: dict[str, Any] = {
        "workerPoolSpecs": [
            {"machineSpec": dict(asked), "replicaCount": count, "containerSpec": copy.deepcopy(container)}
            for count in pools
        ]
    }
    scheduling: dict[str, Any] = {}
    if machine.strategy != "standard":
        scheduling["strategy"] = machine.strategy.upper().replace("-", "_")
    if machine.replicas > 1:
        scheduling["restartJobOnWorkerRestart"] = True  # the other workers cannot go on without one
    return document | ({"scheduling": scheduling} if scheduling else {}) | owner


def values(training: Training, rerun: dict[str, Any]) -> dict[str, Any]:
    """The Trainer's parameters, each of the type that the compiled pipeline of the Trainer alone declares."""
    own = {name: kind for name, kind in jobs.declared(rerun).items() if name not in runs.artifact_inputs(rerun)}
    alone = {"root": {"inputDefinitions": {"parameters": own}}}
    return parameters.read(alone, "", training.parameters, training.feature_config)


def arguments(training: Training, rerun: dict[str, Any]) -> list[str]:
    """The Trainer's command line."""
    own = "" if glob.has_magic(training.tfrecords_path) else f"{training.tfrecords_path.rstrip('/')}/metadata.json"
    metadata = training.metadata_path or own
    paths = {
        "tfrecords_path": training.tfrecords_path,
        "vocabularies_path": training.vocabularies_path,
        **({"metadata_path": metadata} if metadata else {}),
        "output_path": training.output_path,
    }
    for name, path in paths.items():
        checks.bucket(f"--{name.replace('_', '-')}", path)
    found: list[str] = []
    for name, value in {**paths, **values(training, rerun)}.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            found += [f"--{flag}", str(value)]
    return found
