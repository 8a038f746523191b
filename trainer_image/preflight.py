"""Before training: what is about to be trained on what, and a refusal of what will not fit into memory."""

from collections.abc import Iterator

from components.common import feature_config as fc
from components.common.errors import InputError
from components.common.feature_kinds import SMALLEST_DIM
from trainer_image import machine
from trainer_image.features import Encoder
from trainer_image.footprint import FLOAT, MIB, Plan, Side, memory
from trainer_image.model import Encoders

__all__ = ["Plan", "Side", "describe", "expect_fits", "memory", "plan"]

GIB = 1 << 30
PLACES = {"host": "memory of this machine", "gpu": "memory of each GPU"}
Changes = Iterator[tuple[str, Plan]]


def plan(
    config: fc.FeatureConfig,
    encoders: Encoders,
    *,
    loss: str,
    devices: list[str],
    replicas: int,
    batch_size: int,
    queries: int,
    candidates: int,
    rows: int,
    steps: int,
    cached_bytes: int,
    ablated: bool = False,
) -> Plan:
    """The plan of a training whose features are known; see Plan for the rest."""

    def side(encoder: Encoder, tower: fc.Tower) -> Side:
        tables = {key: table for key, table in encoder.tables.items() if table[0]}
        return Side(tables, (sum(encoder.widths.values()), *tower.layers))

    towers = side(encoders.query, config.query), side(encoders.candidate, config.candidate)
    sizes = replicas, batch_size, queries, candidates, rows, steps, cached_bytes
    return Plan(*towers, loss, tuple(devices), *sizes, ablated)


def describe(plan: Plan) -> str:
    """What will be trained on what, for people."""
    names = [f"{tower:<9}  {key}" for tower, key, *_ in plan.tables()]
    width = max(len(name) for name in (*names, "Dense layers"))
    lines = [
        f"{plan.replicas} replica{'s' * (plan.replicas > 1)}, here on {', '.join(plan.devices)}",
        f"{plan.rows:,} rows, {plan.batch_size:,} a replica and step: {plan.steps:,} steps an epoch",
        f"{plan.loss} loss: a replica scores up to {plan.queries:,} queries x {plan.candidates:,} products a step",
        f"  {'tables':<{width}}  {'rows':>11} x {'dim':>4} = {'parameters':>13}  {'MiB':>8}",
    ]
    for name, (_, _, rows, dim, by_row) in zip(names, plan.tables(), strict=True):
        note = "  updated by row" if by_row else ""
        lines.append(f"  {name:<{width}}  {rows:>11,} x {dim:>4} = {_parameters(rows * dim)}{note}")
    everything = plan.dense + sum(rows * dim for _, _, rows, dim, _ in plan.tables())
    lines.append(f"  {'Dense layers':<{width}}  {'':>18} = {_parameters(plan.dense)}")
    lines.append(f"  {'all':<{width}}  {'':>18} = {_parameters(everything)}")
    for place, parts in memory(plan).items():
        free = _available(place)
        beside = f"{free / MIB:,.0f} MiB are available" if free else "how much is available is not known"
        lines.append(f"{PLACES[place]}: about {sum(parts.values()) / MIB:,.0f} MiB are needed, {beside}")
        lines.append("  " + ", ".join(f"{name} {size / MIB:,.0f}" for name, size in _by_size(parts) if size >= MIB))
    return "\n".join(lines)


def expect_fits(plan: Plan) -> None:
    """Raises InputError where the estimate is more than there is, with the change that helps most."""
    for place, parts in memory(plan).items():
        free, needed = _available(place), sum(parts.values())
        if free is not None and needed > free:
            name, size = _by_size(parts)[0]
            found = f"a training that needs about {needed / GIB:,.1f} GiB, {size / GIB:,.1f} of them for {name}"
            expected = f"at most the {free / GIB:,.1f} GiB that are available"
            raise InputError(PLACES[place], found, expected, _remedy(plan, place, free))


def _parameters(count: int) -> str:
    return f"{count:>13,}  {FLOAT * count / MIB:>8,.1f}"


def _by_size(parts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(parts.items(), key=lambda part: -part[1])


def _available(place: str) -> int | None:
    return machine.host_memory() if place == "host" else machine.gpu_memory()


def _remedy(plan: Plan, place: str, free: int) -> str:
    """Of the changes that alone are enough, the one whose first step saves most."""

    def needed(changed: Plan) -> int:
        return sum(memory(changed)[place].values())

    enough = []
    for changes in (_smaller_batches(plan), _smaller_dims(plan), _in_batch(plan), _smaller_cache(plan)):
        saved = 0
        for text, changed in changes:
            saved = saved or needed(plan) - needed(changed)
            if needed(changed) <= free:
                enough.append((saved, text))
                break
    larger = f"a machine with {needed(plan) / GIB:,.1f} GiB free"
    return f"{max(enough)[1]}, or use {larger}." if enough else f"Use {larger}."


def _smaller_batches(plan: Plan) -> Changes:
    size = plan.batch_size
    while size > 1:
        size //= 2
        queries = -(-plan.queries * size // plan.batch_size)
        sampled = min(plan.candidates, size * plan.replicas)
        candidates = plan.candidates if plan.loss == "full-catalogue" else sampled
        yield (
            f"Lower --batch-size to {size}",
            plan._replace(batch_size=size, queries=queries, candidates=candidates),
        )


def _smaller_dims(plan: Plan) -> Changes:
    largest = max(plan.tables(), key=lambda table: table[2] * table[3], default=None)
    if largest is None:
        return
    tower, key, rows, dim, _ = largest
    side = plan.query if tower == "query" else plan.candidate
    while dim > SMALLEST_DIM:
        dim = max(dim // 2, SMALLEST_DIM)
        inputs = side.widths[0] - side.tables[key][1] + dim
        smaller = Side({**side.tables, key: (rows, dim)}, (inputs, *side.widths[1:]))
        changed = plan._replace(query=smaller) if tower == "query" else plan._replace(candidate=smaller)
        yield f"Give {key} dim {dim} in the feature config", changed


def _in_batch(plan: Plan) -> Changes:
    candidates = plan.batch_size * plan.replicas
    if plan.loss == "full-catalogue" and candidates < plan.candidates:
        yield "Choose --loss in-batch", plan._replace(loss="in-batch", queries=plan.batch_size, candidates=candidates)


def _smaller_cache(plan: Plan) -> Changes:
    size = plan.cached_bytes
    while size > MIB:
        size //= 2
        yield f"Lower --cache-gib to {size / GIB:.2g}", plan._replace(cached_bytes=size)
