"""Settings, a feature config and a look into compiled specs, which several tests of this folder share."""

from typing import Any

from pipelines.machines import Machine
from pipelines.steps import Settings

GPU = Settings(machine=Machine(accelerator="NVIDIA_TESLA_T4", accelerator_count=2))
CLUSTER = Settings(machine=Machine(machine_type="a2-highgpu-2g", replicas=3, strategy="spot"))
CONFIG = """
query:
  layers: [8, 4]
  features:
    - {kind: id, name: cust_person_id, dim: 8}
    - {kind: numeric, name: revenue, transform: normalize}
candidate:
  layers: [8, 4]
  features:
    - {kind: id, name: product_id, dim: 8}
"""


def trainer_of(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the Trainer's container in a compiled spec."""
    container: dict[str, Any] = document["deploymentSpec"]["executors"]["exec-trainer"]["container"]
    return container
