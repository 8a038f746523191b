"""The same two-tower model in PyTorch on the CPU, ids already looked up and all rows in tensors: a peer of the Trainer.

Import it before or after TensorFlow, but without triton in the process: once TensorFlow is loaded, triton crashes.
"""

import ctypes
import itertools
import os
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812  as everybody calls it
from torch import nn

from benchmarks.train_rows import Encoded

BATCH, WARM_UP, LEARNING_RATE, L1 = 4096, 3, 1e-3, 1e-6
LAYERS = (128, 64, 32)
QUERY_DIMS = {"customer": 64, "city": 16}
CANDIDATE_DIMS = {"product": 32, "category": 16, "subcategory": 24, "cross": 16}
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)
LOSSES = ("full-catalogue", "in-batch")


class Tower(nn.Module):
    """Embeddings and numbers side by side, through Dense layers: ReLU, the last one linear."""

    def __init__(self, tables: Mapping[str, tuple[int, int]], numbers: int, sparse: bool):
        super().__init__()
        embeddings = {name: nn.Embedding(*shape, sparse=sparse) for name, shape in tables.items()}
        widths = [numbers + sum(dim for _, dim in tables.values()), *LAYERS]
        linear = [nn.Linear(*pair) for pair in itertools.pairwise(widths)]
        # The initial values of Keras, which the other contestants have.
        for embedding in embeddings.values():
            nn.init.uniform_(embedding.weight, -0.05, 0.05)
        for layer in linear:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.tables = nn.ModuleDict(embeddings)
        parts = itertools.chain.from_iterable((nn.ReLU(), layer) for layer in linear)
        self.dense = nn.Sequential(*itertools.islice(parts, 1, None))

    def forward(self, ids: Mapping[str, torch.Tensor], *numbers: torch.Tensor) -> torch.Tensor:
        """Indices [B] and numbers [B] to float32 [B, LAYERS[-1]]."""
        embedded = [table(ids[name]) for name, table in self.tables.items()]
        return self.dense(torch.cat([*embedded, *(number[:, None] for number in numbers)], dim=1))

    def l1(self) -> torch.Tensor:
        """The sum of the absolute values of the Dense kernels."""
        return torch.stack([value.abs().sum() for value in self.dense.parameters() if value.ndim == 2]).sum()


class TwoTower(nn.Module):
    """Both towers; its forward pass is the loss of a batch, so that it can be compiled as a whole.

    Args:
        data: The catalogue and the sizes of the tables are taken from it.
        loss: One of LOSSES.
        sparse: Sparse gradients of the embedding tables, for torch.optim.SparseAdam.
    """

    def __init__(self, data: Encoded, loss: str, sparse: bool = False):
        super().__init__()
        self.loss = loss
        self.query = Tower({name: (data.sizes[name], dim) for name, dim in QUERY_DIMS.items()}, 1, sparse)
        self.candidate = Tower({name: (data.sizes[name], dim) for name, dim in CANDIDATE_DIMS.items()}, 0, sparse)
        self.catalogue = {name: torch.from_numpy(getattr(data, name)) for name in CANDIDATE_DIMS}
        self.log_share = torch.from_numpy(data.share).log()

    def forward(
        self, customer: torch.Tensor, city: torch.Tensor, revenue: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        """Mean loss of a batch, L1 included; every argument [B]."""
        queries = self.query({"customer": customer, "city": city}, revenue)
        if self.loss == "full-catalogue":
            loss = full_catalogue(queries, self.candidate(self.catalogue), target)
        else:
            bought = self.candidate({name: column[target] for name, column in self.catalogue.items()})
            loss = in_batch(queries, bought, target, self.log_share[target])
        return loss + L1 * (self.query.l1() + self.candidate.l1())


def full_catalogue(queries: torch.Tensor, candidates: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean softmax cross-entropy over all products: float32 [B, D], float32 [N, D], int64 [B]."""
    return F.cross_entropy(queries @ candidates.T, target)


def in_batch(
    queries: torch.Tensor, bought: torch.Tensor, target: torch.Tensor, log_share: torch.Tensor
) -> torch.Tensor:
    """Mean softmax cross-entropy over the batch's products, with logQ, other rows of the same product left out.

    Args:
        queries, bought: float32 [B, D].
        target: The product of each row, int64 [B].
        log_share: Of that product in the training rows, float32 [B].
    """
    row = torch.arange(len(target))
    hit = (target[:, None] == target[None, :]) & (row[:, None] != row[None, :])
    logits = (queries @ bought.T - log_share).masked_fill(hit, -torch.inf)
    return F.cross_entropy(logits, row)


def contestant(data: Encoded, *, loss: str, compiled: bool, sparse: bool = False) -> Callable[[int], float]:
    """Returns a function that trains some steps further and returns examples a second; the first steps are behind it.

    Args:
        data: As train_rows.encoded gives them.
        loss: One of LOSSES.
        compiled: By torch.compile (inductor, which needs g++), or eager.
        sparse: Update only the rows of the tables that a batch names (SparseAdam). That is another optimizer than Adam,
            and faster where the tables are large.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    keep_memory()
    torch.manual_seed(1)
    model = TwoTower(data, loss, sparse)
    optimizers = _optimizers(model, sparse)
    loss_of: Callable[..., torch.Tensor] = torch.compile(model, dynamic=False) if compiled else model
    columns = [torch.from_numpy(column) for column in (data.customer, data.city, data.revenue, data.target)]
    batches = _batches(len(data.target))

    def rate(steps: int) -> float:
        started = time.perf_counter()
        for rows in itertools.islice(batches, steps):
            loss_of(*(column[rows] for column in columns)).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
        return steps * BATCH / (time.perf_counter() - started)

    rate(WARM_UP)
    return rate


def keep_memory() -> None:
    """Lets glibc keep freed memory, for the whole process.

    In-batch logits take 64 MiB. By default each such tensor is mapped anew from the kernel, page by page, which takes
    longer than the arithmetic; PyTorch's tuning guide recommends another allocator for that reason.
    https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries lack it
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def rate(data: Encoded, steps: int, *, loss: str, compiled: bool, sparse: bool = False) -> float:
    """Examples a second over some steps after a warm-up."""
    return contestant(data, loss=loss, compiled=compiled, sparse=sparse)(steps)


def _batches(rows: int) -> itertools.chain[torch.Tensor]:
    """Row numbers [BATCH], every epoch in its own order, without end."""
    return itertools.chain.from_iterable(
        torch.randperm(rows)[: rows // BATCH * BATCH].split(BATCH) for _ in itertools.count()
    )


def _optimizers(model: TwoTower, sparse: bool) -> list[torch.optim.Optimizer]:
    """Fused Adam, the fastest of the three on a CPU; with sparse gradients SparseAdam for the tables."""
    if not sparse:
        return [torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)]
    tables = [value for name, value in model.named_parameters() if ".tables." in name]
    others = [value for name, value in model.named_parameters() if ".tables." not in name]
    return [torch.optim.SparseAdam(tables, lr=LEARNING_RATE), torch.optim.Adam(others, lr=LEARNING_RATE, fused=True)]
