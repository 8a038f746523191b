"""What memory a training takes, estimated from its sizes.

The estimate was fitted to peaks of resident memory on CPUs (TensorFlow 2.21; one replica and two; weights of 1 to 300
MiB, logits of 1 to 470 MiB), and is within 20% of all of them. GPUs were not tried.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from trainer_image import optimizer

FLOAT, MIB = 4, 1 << 20
# VmHWM of the demo's training less the parts below: 648 MiB after the imports of tensorflow, keras and
# tensorflow_recommenders (VmRSS), 740 when the rows are read, the rest in the first steps and their validation.
PROCESS = 830 * MIB
GRADIENTS = 3  # of a table that is updated as a whole: its gradient, and two intermediate results of Adam
SUMMED = 1  # more, where replicas add up their gradients
LOOKED_UP = 1  # of a table that is updated by row, as it was measured
LOGITS = 2.5  # copies in the forward and backward pass: 2 in one replica, 2.3 to 2.6 with XLA, 3 in one of two
LAYERS = 2  # forward and backward pass
CHECKPOINT = 4  # weights and both moments; and one while the best weights are put back, with those still held


class Side(NamedTuple):
    """One tower: {feature key: (rows, dim)} of its tables, and the widths of its input and its Dense layers."""

    tables: dict[str, tuple[int, int]]
    widths: tuple[int, ...]


class Plan(NamedTuple):
    """A training.

    Attributes:
        query, candidate: The towers.
        loss: "full-catalogue" or "in-batch".
        devices: Of this process, one replica each.
        replicas: Of all processes.
        batch_size: Purchases a replica and step, as the flag has it.
        queries, candidates: Rows that a replica embeds in a step, at most.
        rows: Training purchases.
        steps: Of an epoch.
        cached_bytes: What the encoded purchases take in memory.
        ablated: The finished model waits while others are trained.
    """

    query: Side
    candidate: Side
    loss: str
    devices: tuple[str, ...]
    replicas: int
    batch_size: int
    queries: int
    candidates: int
    rows: int
    steps: int
    cached_bytes: int
    ablated: bool = False

    @property
    def on_gpus(self) -> bool:
        return any("GPU" in device for device in self.devices)

    @property
    def dense(self) -> int:
        """Parameters of the Dense layers; the last one of the candidate tower has no bias."""
        widths = *pairwise(self.query.widths), *pairwise(self.candidate.widths)
        return sum((above + 1) * below for above, below in widths) - self.candidate.widths[-1]

    def tables(self) -> Iterator[tuple[str, str, int, int, bool]]:
        """Tower, feature key, rows, dim, and whether the table is updated by row."""
        seen = {"query": self.queries * self.replicas, "candidate": self.candidates}
        for tower, side in (("query", self.query), ("candidate", self.candidate)):
            for key, (rows, dim) in side.tables.items():
                yield tower, key, rows, dim, optimizer.is_lazy(rows, dim, seen[tower])


def memory(plan: Plan) -> dict[str, dict[str, int]]:
    """Bytes at the peak, by part: {"host": {part: bytes}}, and "gpu", of each one, where there are any.

    Replicas on CPUs share the host's memory, and each has its copy of what a GPU would hold. What a step needs for a
    while counts as long as the process lives: TensorFlow's allocator gives nothing back.
    """
    whole = plan.dense + sum(rows * dim for _, _, rows, dim, by_row in plan.tables() if not by_row)
    by_row = sum(rows * dim for _, _, rows, dim, lazy in plan.tables() if lazy)
    weights = FLOAT * (whole + by_row)
    copies = GRADIENTS + (SUMMED if plan.replicas > 1 else 0)
    layers = plan.queries * sum(plan.query.widths) + plan.candidates * sum(plan.candidate.widths)
    replica = {
        "weights": weights,
        "Adam's moments": 2 * weights,
        "gradients": FLOAT * (copies * whole + LOOKED_UP * by_row),
        "layers": FLOAT * LAYERS * layers,
        "logits": int(FLOAT * LOGITS * plan.queries * plan.candidates),
    }
    if plan.ablated:
        replica["the finished model"] = weights
    process = {
        "best weights": weights,
        "checkpoint": CHECKPOINT * weights,
        "cached rows": plan.cached_bytes,
        "TensorFlow": PROCESS,
    }
    if plan.on_gpus:
        return {"host": process, "gpu": replica}
    return {"host": {name: len(plan.devices) * size for name, size in replica.items()} | process}
