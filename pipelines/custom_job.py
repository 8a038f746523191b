"""The Trainer alone as a Vertex AI custom job: on one machine, or on a cluster that trains together."""

from dataclasses import dataclass
from typing import Any, Literal

from components.common.errors import InputError, expect_choice
from pipelines import checks, parameters

COMMAND = ["python", "-m", "trainer_image.main"]
# Paths that a pipeline fills in; the job's own flags name them.
PATHS = ("tfrecords_path", "vocabularies_path", "metadata_path", "output_path")
Strategy = Literal["standard", "spot", "flex-start"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained on what.

    Args:
        image: The Trainer's image with its registry.
        tfrecords_path: gs:// folder of the examples.
        vocabularies_path: gs:// path of the vocabularies.
        output_path: gs:// folder for the model.
        metadata_path: metadata.json of the examples; by default the one in their folder.
        options: The Trainer's other flags as name=value, for example epochs=20; name=@FILE takes a file's text.
        machine_type: Of every machine.
        accelerator: GPU of every machine, by Vertex AI's name, for example NVIDIA_L4; "" trains on CPUs.
        accelerator_count: How many in every machine.
        replicas: Machines; the first is the chief, the others its workers.
        strategy: spot machines are cheaper and may be taken away, flex-start waits for machines to be free.
        service_account: Whom it runs as; by default the project's Compute Engine account.
        network: VPC network to peer with, projects/NUMBER/global/networks/NAME.
    """

    image: str
    tfrecords_path: str
    vocabularies_path: str
    output_path: str
    metadata_path: str = ""
    options: tuple[str, ...] = ()
    machine_type: str = "n1-standard-8"
    accelerator: str = ""
    accelerator_count: int = 1
    replicas: int = 1
    strategy: Strategy = "standard"
    service_account: str = ""
    network: str = ""


def spec(training: Training, pipeline: dict[str, Any]) -> dict[str, Any]:
    """The CustomJobSpec, as REST and `gcloud ai custom-jobs create --config` write it.

    Args:
        training: What is trained on what.
        pipeline: The compiled pipeline, whose Trainer knows the types of the options.

    Raises:
        InputError: an option, image, path, machine or account that would fail there.
    """
    checks.image("--image", training.image)
    checks.account(training.service_account)
    checks.network(training.network)
    _expect_machines(training)
    container = {"imageUri": training.image, "command": COMMAND, "args": arguments(training, pipeline)}
    machine: dict[str, Any] = {"machineType": training.machine_type}
    if training.accelerator:
        machine |= {"acceleratorType": training.accelerator, "acceleratorCount": training.accelerator_count}
    # Vertex AI makes TF_CONFIG of the pools: the first is the chief and has one machine, the second the workers.
    pools = [1, training.replicas - 1] if training.replicas > 1 else [1]
    document: dict[str, Any] = {
        "workerPoolSpecs": [{"machineSpec": machine, "replicaCount": n, "containerSpec": container} for n in pools]
    }
    if training.strategy != "standard":
        document["scheduling"] = {"strategy": training.strategy.upper().replace("-", "_")}
    named = {"serviceAccount": training.service_account, "network": training.network}
    return document | {name: value for name, value in named.items() if value}


def arguments(training: Training, pipeline: dict[str, Any]) -> list[str]:
    """The Trainer's command line."""
    paths = {name: getattr(training, name) for name in PATHS}
    paths["metadata_path"] = paths["metadata_path"] or f"{training.tfrecords_path.rstrip('/')}/metadata.json"
    for name, path in paths.items():
        checks.bucket(f"--{name.replace('_', '-')}", path)
    known = pipeline["components"]["comp-trainer"]["inputDefinitions"]["parameters"]
    optional = {name: {**definition, "isOptional": True} for name, definition in known.items()}
    if not any(pair.startswith("feature_config=") for pair in training.options):
        remedy = "Add --options feature_config=@feature_config.yaml"
        raise InputError("--options", "no feature_config", "the feature config's text", remedy)
    found: list[str] = []
    for name, value in {**paths, **parameters.read(optional, "", training.options)}.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            found += [f"--{flag}", str(value)]
    return found


def _expect_machines(training: Training) -> None:
    from google.cloud.aiplatform_v1 import AcceleratorType

    if training.replicas < 1 or training.accelerator_count < 1:
        raise InputError("--replicas, --accelerator-count", "less than one", "1 or more", "Correct the number.")
    if training.accelerator:
        known = sorted(set(AcceleratorType.__members__) - {"ACCELERATOR_TYPE_UNSPECIFIED"})
        expect_choice("--accelerator", training.accelerator, tuple(known))
