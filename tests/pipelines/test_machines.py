"""The Trainer's machine: what goes together on Vertex AI, and a sentence for what does not."""

from typing import Any

import pytest
from google.cloud.aiplatform_v1 import AcceleratorType

from components.common.errors import InputError
from pipelines.machines import ATTACHED, BUILT_IN, Machine


def test_every_accelerator_is_one_of_vertex_ai_s_names() -> None:
    assert {*ATTACHED, *(name for name, _ in BUILT_IN.values())} <= set(AcceleratorType.__members__)


def test_a_name_that_tells_how_many_gpus_there_are_agrees_with_the_table() -> None:
    told = {name: count for name, (_, count) in BUILT_IN.items() if name.endswith("g")}
    assert len(told) > 10
    for name, count in told.items():
        assert name.endswith(f"-{count}g")


@pytest.mark.parametrize(
    ("chosen", "accelerator", "count"),
    [
        ({}, "", 0),
        ({"accelerator": "NVIDIA_TESLA_T4"}, "NVIDIA_TESLA_T4", 1),
        ({"accelerator": "NVIDIA_TESLA_A100", "accelerator_count": 4}, "NVIDIA_TESLA_A100", 4),
        ({"machine_type": "a2-highgpu-2g"}, "NVIDIA_TESLA_A100", 2),
        ({"machine_type": "a2-ultragpu-8g"}, "NVIDIA_A100_80GB", 8),
        ({"machine_type": "g2-standard-48"}, "NVIDIA_L4", 4),
        ({"machine_type": "a3-highgpu-1g", "strategy": "flex-start"}, "NVIDIA_H100_80GB", 1),
        ({"machine_type": "a2-highgpu-2g", "accelerator": "NVIDIA_TESLA_A100"}, "NVIDIA_TESLA_A100", 2),
        ({"machine_type": "a2-highgpu-2g", "accelerator_count": 2, "replicas": 4}, "NVIDIA_TESLA_A100", 2),
        ({"machine_type": "n1-standard-8", "accelerator": "NVIDIA_TESLA_T4"}, "NVIDIA_TESLA_T4", 1),
        ({"machine_type": "n2-standard-16", "strategy": "spot"}, "", 0),
    ],
)
def test_what_the_machine_type_implies_is_filled_in(chosen: dict[str, Any], accelerator: str, count: int) -> None:
    machine = Machine(**chosen).checked()
    assert (machine.accelerator, machine.accelerator_count) == (accelerator, count)
    assert machine.is_custom_job == ("machine_type" in chosen)
    assert machine.checked() == machine


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"accelerator": "A100"}, "--accelerator: found A100, expected one of NVIDIA_A100_80GB"),
        ({"accelerator": "TPU_V3"}, "--accelerator: found TPU_V3, .*NVIDIA's GPUs"),
        ({"accelerator": "NVIDIA_TESLA_K80"}, "--accelerator: found NVIDIA_TESLA_K80"),
        ({"accelerator": "NVIDIA_TESLA_T4", "accelerator_count": 3}, "--accelerator-count: found 3, expected 1, 2, 4"),
        ({"accelerator": "NVIDIA_L4", "accelerator_count": 16}, "--accelerator-count: found 16, expected 1, 2, 4, 8"),
        ({"accelerator": "NVIDIA_H100_80GB"}, "found 1 NVIDIA_H100_80GB.*a3-highgpu-1g --strategy flex-start"),
        ({"accelerator_count": 2}, "--accelerator-count: found 2, expected an accelerator with it"),
        ({"accelerator_count": -1}, "--accelerator-count: found -1"),
        ({"machine_type": "a2-highgpu-3g"}, "--machine-type: found a2-highgpu-3g, expected one of a2-highgpu-1g"),
        ({"machine_type": "a4x-highgpu-4g"}, "--machine-type: found a4x-highgpu-4g, expected one of"),
        ({"machine_type": "big one"}, "--machine-type: found big one, expected one of a2-highgpu-1g.*m1-megamem-96"),
        ({"machine_type": "n1-standard-7"}, "found n1-standard-7, expected one of n1-standard-4, n1-standard-8"),
        ({"machine_type": "n1-huge-8"}, "found n1-huge-8, expected one of n1-standard-4.*n1-highcpu-96. Correct"),
        (
            {"machine_type": "a2-highgpu-2g", "accelerator": "NVIDIA_TESLA_T4"},
            "--accelerator: found 2 NVIDIA_TESLA_T4, expected 2 NVIDIA_TESLA_A100, which a2-highgpu-2g has",
        ),
        (
            {"machine_type": "a2-highgpu-2g", "accelerator": "NVIDIA_TESLA_A100", "accelerator_count": 1},
            "--accelerator: found 1 NVIDIA_TESLA_A100, expected 2 NVIDIA_TESLA_A100",
        ),
        (
            {"machine_type": "n2-standard-8", "accelerator": "NVIDIA_TESLA_T4"},
            "--machine-type: found n2-standard-8, expected a machine that has NVIDIA_TESLA_T4, such as n1-standard-8",
        ),
        (
            {"machine_type": "n1-standard-8", "accelerator": "NVIDIA_L4"},
            "expected a machine that has NVIDIA_L4, such as g2-standard-4",
        ),
        ({"machine_type": "n1-standard-8", "accelerator_count": 1}, "--accelerator-count: found 1, expected an"),
        ({"replicas": 0}, "--replicas: found 0, expected 1 or more"),
        ({"replicas": 2}, "--replicas: found 2, expected a machine type with it"),
        ({"strategy": "spot"}, "--strategy: found spot, expected a machine type with it"),
        ({"strategy": "cheap", "machine_type": "a2-highgpu-1g"}, "--strategy: found 'cheap', expected one of standard"),
        (
            {"strategy": "flex-start", "machine_type": "n1-standard-8", "accelerator": "NVIDIA_TESLA_T4"},
            "--strategy: found flex-start for NVIDIA_TESLA_T4, expected an L4, A100",
        ),
        ({"strategy": "flex-start", "machine_type": "n2-standard-8"}, "flex-start for a machine without GPU"),
        ({"machine_type": "a3-highgpu-2g"}, "--machine-type: found a3-highgpu-2g, strategy standard"),
        ({"trainer_cpu": "97"}, "--trainer-cpu: found 97, expected a whole number, 1 to 96"),
        ({"trainer_memory": "30GB"}, "--trainer-memory: found 30GB, expected gigabytes, 1G to 624G"),
        ({"trainer_cpu": "8", "machine_type": "a2-highgpu-1g"}, "--trainer-cpu: found 8 with a2-highgpu-1g"),
        ({"trainer_memory": "8G", "machine_type": "a2-highgpu-1g"}, "--trainer-memory: found 8G with a2-highgpu-1g"),
    ],
)
def test_what_does_not_go_together_is_refused(chosen: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Machine(**chosen).checked()
