"""Which machine the Trainer gets, checked before anything is submitted.

The names are Vertex AI's; which machine has which GPUs is Compute Engine's
(https://cloud.google.com/vertex-ai/docs/training/configure-compute, https://cloud.google.com/compute/docs/gpus).
"""

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from components.common.errors import InputError, expect_at_least, expect_choice

Strategy = Literal["standard", "spot", "flex-start"]

BUILT_IN = {
    **{f"a2-highgpu-{count}g": ("NVIDIA_TESLA_A100", count) for count in (1, 2, 4, 8)},
    "a2-megagpu-16g": ("NVIDIA_TESLA_A100", 16),
    **{f"a2-ultragpu-{count}g": ("NVIDIA_A100_80GB", count) for count in (1, 2, 4, 8)},
    **{f"a3-highgpu-{count}g": ("NVIDIA_H100_80GB", count) for count in (1, 2, 4, 8)},
    "a3-megagpu-8g": ("NVIDIA_H100_MEGA_80GB", 8),
    "a3-ultragpu-8g": ("NVIDIA_H200_141GB", 8),
    "a4-highgpu-8g": ("NVIDIA_B200", 8),
    **{f"g2-standard-{cpus}": ("NVIDIA_L4", 1) for cpus in (4, 8, 12, 16, 32)},
    **{f"g2-standard-{cpus}": ("NVIDIA_L4", count) for cpus, count in ((24, 2), (48, 4), (96, 8))},
    **{f"g4-standard-{48 * count}": ("NVIDIA_RTX_PRO_6000", count) for count in (1, 2, 4, 8)},
}
CPU_ONLY = {  # without a GPU of their own; of Vertex AI's list for training those that have four CPUs or more
    "e2-standard": (4, 8, 16, 32),
    "e2-highmem": (4, 8, 16),
    "e2-highcpu": (16, 32),
    "n1-standard": (4, 8, 16, 32, 64, 96),
    "n1-highmem": (4, 8, 16, 32, 64, 96),
    "n1-highcpu": (16, 32, 64, 96),
    "n2-standard": (4, 8, 16, 32, 48, 64, 80),
    "n2-highmem": (4, 8, 16, 32, 48, 64, 80),
    "n2-highcpu": (16, 32, 48, 64, 80),
    "c2-standard": (4, 8, 16, 30, 60),
    "m1-ultramem": (40, 80, 160),
    "m1-megamem": (96,),
}
ATTACHED = {  # to N1 machines only
    "NVIDIA_TESLA_T4": (1, 2, 4),
    "NVIDIA_TESLA_P4": (1, 2, 4),
    "NVIDIA_TESLA_P100": (1, 2, 4),
    "NVIDIA_TESLA_V100": (1, 2, 4, 8),
}
NEVER_ON_DEMAND = ("a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g")
FLEX_START = ("NVIDIA_L4", "NVIDIA_TESLA_A100", "NVIDIA_A100_80GB", "NVIDIA_H100", "NVIDIA_H200", "NVIDIA_B200")
MOST_CPUS, MOST_GIGABYTES = 96, 624  # of a pipeline step


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The Trainer's machine.

    Args:
        accelerator: GPU of the Trainer, one of Vertex AI's names, for example NVIDIA_TESLA_T4; "" trains on CPU, or on
            what the machine type has.
        accelerator_count: How many of them; 0 takes those of the machine type, else one.
        machine_type: For example a2-highgpu-2g: the Trainer runs as a Vertex AI custom job on that machine. "" keeps it
            a plain step, for which Vertex AI or Kubernetes finds a machine.
        replicas: Machines that train together, each with these GPUs; several need a machine type.
        strategy: How the custom job gets its machines: standard; spot, cheaper and taken away at any time; flex-start,
            queued until all are free.
        trainer_cpu: CPUs that the Trainer may use at most, as a plain step.
        trainer_memory: Memory that it may use at most, for example 30G.
    """

    accelerator: str = ""
    accelerator_count: int = 0
    machine_type: str = ""
    replicas: int = 1
    strategy: Strategy = "standard"
    trainer_cpu: str = ""
    trainer_memory: str = ""

    @property
    def is_custom_job(self) -> bool:
        return bool(self.machine_type)

    def checked(self) -> "Machine":
        """The same with everything that the machine type implies.

        Raises:
            InputError: names that Vertex AI does not have, or choices that exclude each other.
        """
        expect_at_least("--replicas", self.replicas, 1)
        expect_at_least("--accelerator-count", self.accelerator_count, 0)
        expect_choice("--strategy", self.strategy, get_args(Strategy))
        if self.accelerator:
            _expect_gpu(self.accelerator)
        elif self.accelerator_count and self.machine_type not in BUILT_IN:
            remedy = "Name it, for example --accelerator NVIDIA_TESLA_T4."
            raise InputError("--accelerator-count", str(self.accelerator_count), "an accelerator with it", remedy)
        return self._as_custom_job() if self.is_custom_job else self._as_step()

    def _as_step(self) -> "Machine":
        if self.replicas > 1 or self.strategy != "standard":
            flag, found = ("--replicas", self.replicas) if self.replicas > 1 else ("--strategy", self.strategy)
            remedy = "Add it, for example --machine-type a2-highgpu-2g: only a custom job can do that."
            raise InputError(flag, str(found), "a machine type with it", remedy)
        if self.trainer_cpu and not (self.trainer_cpu.isdecimal() and 1 <= int(self.trainer_cpu) <= MOST_CPUS):
            raise InputError("--trainer-cpu", self.trainer_cpu, f"a whole number, 1 to {MOST_CPUS}", "Correct it.")
        size = re.fullmatch(r"(\d{1,6})G", self.trainer_memory, re.ASCII)
        if self.trainer_memory and not (size and 1 <= int(size[1]) <= MOST_GIGABYTES):
            expected = f"gigabytes, 1G to {MOST_GIGABYTES}G"
            raise InputError("--trainer-memory", self.trainer_memory, expected, "Correct it.")
        if not self.accelerator:
            return self
        count = self.accelerator_count or 1
        hosts = [name for name, has in BUILT_IN.items() if has == (self.accelerator, count)]
        if hosts and set(hosts) <= set(NEVER_ON_DEMAND):
            remedy = f"Add --machine-type {hosts[0]} --strategy flex-start, or spot."
            raise InputError("--accelerator-count", f"{count} {self.accelerator}", "8 for a plain step", remedy)
        _expect_count(self.accelerator, count)
        return replace(self, accelerator_count=count)

    def _as_custom_job(self) -> "Machine":
        for flag, size in (("--trainer-cpu", self.trainer_cpu), ("--trainer-memory", self.trainer_memory)):
            if size:
                found, remedy = f"{size} with {self.machine_type}", "Leave it out: a custom job has the whole machine."
                raise InputError(flag, found, "one or the other", remedy)
        built_in = _built_in(self.machine_type)
        if built_in:
            chosen = self.accelerator or built_in[0], self.accelerator_count or built_in[1]
            if chosen != built_in:
                expected = f"{built_in[1]} {built_in[0]}, which {self.machine_type} has"
                remedy = "Leave the accelerator out, or choose another machine type."
                raise InputError("--accelerator", f"{chosen[1]} {chosen[0]}", expected, remedy)
        elif self.accelerator:
            if self.accelerator not in ATTACHED or not self.machine_type.startswith("n1-"):
                fitting = [name for name, (has, _) in BUILT_IN.items() if has == self.accelerator] or ["n1-standard-8"]
                expected = f"a machine that has {self.accelerator}, such as {fitting[0]}"
                raise InputError("--machine-type", self.machine_type, expected, "Choose one of them.")
            chosen = self.accelerator, self.accelerator_count or 1
            _expect_count(*chosen)
        else:
            chosen = "", 0
        machine = replace(self, accelerator=chosen[0], accelerator_count=chosen[1])
        machine._expect_strategy()
        return machine

    def _expect_strategy(self) -> None:
        if self.strategy == "standard" and self.machine_type in NEVER_ON_DEMAND:
            remedy = "Add --strategy flex-start or spot, or take a3-highgpu-8g."
            raise InputError("--machine-type", f"{self.machine_type}, strategy standard", "another strategy", remedy)
        if self.strategy == "flex-start" and not self.accelerator.startswith(FLEX_START):
            found = f"flex-start for {self.accelerator or 'a machine without GPU'}"
            remedy = "Leave the strategy out, or take spot."
            raise InputError("--strategy", found, "an L4, A100, H100, H200 or B200", remedy)


def _built_in(machine_type: str) -> tuple[str, int] | None:
    """The GPUs that the machine type has; None where it has none."""
    if machine_type in BUILT_IN:
        return BUILT_IN[machine_type]
    known = [f"{family}-{cpus}" for family, sizes in CPU_ONLY.items() for cpus in sizes]
    if machine_type not in known:
        # Of the same family, or at least of the same generation; else all.
        names, prefixes = [*BUILT_IN, *known], (machine_type.rpartition("-")[0], machine_type.partition("-")[0])
        likely = next((near for p in prefixes if (near := [n for n in names if n.startswith(f"{p}-")])), names)
        raise InputError("--machine-type", machine_type, f"one of {', '.join(likely)}", "Correct the name.")
    return None


def _expect_count(accelerator: str, count: int) -> None:
    counts = ATTACHED.get(accelerator) or sorted({has for name, has in BUILT_IN.values() if name == accelerator})
    if count not in counts:
        expected = f"{', '.join(map(str, counts))} of {accelerator} in a machine"
        raise InputError("--accelerator-count", str(count), expected, "Correct the number.")


def _expect_gpu(name: str) -> None:
    from google.cloud.aiplatform_v1 import AcceleratorType

    known = sorted(set(AcceleratorType.__members__) - {"ACCELERATOR_TYPE_UNSPECIFIED"})
    if name not in known:
        raise InputError("--accelerator", name, f"one of {', '.join(known)}", "Correct the name.")
    offered = sorted({*ATTACHED, *(has for has, _ in BUILT_IN.values())})
    if name not in offered:  # TPUs, the retired K80, Arm machines
        remedy = "Choose one of them: the Trainer's image is for x86 and NVIDIA's GPUs."
        raise InputError("--accelerator", name, f"one of {', '.join(offered)}", remedy)
