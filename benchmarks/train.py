"""`make bench-train`: the Trainer beside stock TFRS and PyTorch, in one process, in turn, on the same data."""

import json
import os
import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from benchmarks import train_data
from benchmarks.demo_log import demo_log
from components.common import cli

CUSTOMERS_128 = "benchmarks/customers_128.yaml"


def alternate(contestants: dict[str, tuple[Callable[[int], float], int]], rounds: int) -> dict[str, list[float]]:
    """Lets everybody train some steps, in turn.

    Args:
        contestants: {name: (function of steps that returns examples a second, steps)}.
        rounds: How often.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (rate, steps) in contestants.items():
            rates[name].append(rate(steps))
            print(f"{name}: {rates[name][-1]:,.0f} examples/s", file=sys.stderr)
    return rates


def compare(*, rounds: int = 3, cache: str = ".cache", recall: bool = True) -> None:
    """Measures everything; takes about a quarter of an hour on two idle cores.

    Batch 4,096, the default feature config, float32. An example is one purchase of a batch; a grouped step of ours
    holds 4,096 of them on average. TFRS is given logQ and the removal of accidental hits; its metrics while training
    are left out. PyTorch is given ids that are looked up already, tensors in memory, and fused Adam.

    Args:
        rounds: How often every contestant runs, in turn; the best counts: a busy neighbour costs PyTorch most.
        cache: Folder for the data.
        recall: Also measure the time to a Recall, most of the quarter of an hour.
    """
    from benchmarks import ceiling, crossover, train_ours, train_recall, train_rows, train_tfrs
    from benchmarks.train_ours import BATCH
    from trainer_image import cost
    from trainer_image.batches import queries_per_step

    # isort: split
    import torch  # after TensorFlow

    from benchmarks import train_torch

    torch.set_num_threads(os.cpu_count() or 1)
    console = Console(highlight=False)
    demo, large = demo_log(cache), train_data.cached(1_000_000, 600_000, 30_000, cache=cache)
    ours, many = train_ours.read(demo), train_ours.read(large)
    rows, products = ours.purchases.rows, len(ours.encoders.catalogue)
    queries = queries_per_step(rows, ours.purchases.groups, BATCH)

    single = ours._replace(purchases=train_ours.by_row(ours.purchases))
    raw, vocabularies = train_rows.raw(demo, "train"), train_rows.read_vocabularies(demo)
    raw_many, vocabularies_many = train_rows.raw(large, "train", 300_000), train_rows.read_vocabularies(large)
    ids, ids_many = train_rows.encoded(demo, "train"), train_rows.encoded(large, "train", 300_000)
    full = alternate(
        {
            "ours": (train_ours.contestant(ours, "full-catalogue"), 480),
            "ours, jit": (train_ours.contestant(ours, "full-catalogue", jit_compile=True), 480),
            "ours, bfloat16": (train_ours.contestant(ours, "full-catalogue", precision="bfloat16"), 480),
            "ours, row by row": (train_ours.contestant(single, "full-catalogue"), 96),
            "TFRS": (train_tfrs.contestant(raw, vocabularies, corrected=True), 10),
            "PyTorch": (train_torch.contestant(ids, loss="full-catalogue", compiled=False), 48),
            "PyTorch, compiled": (train_torch.contestant(ids, loss="full-catalogue", compiled=True), 48),
        },
        rounds,
    )
    in_batch = alternate(
        {
            "ours": (train_ours.contestant(many, "in-batch"), 96),
            "ours, jit": (train_ours.contestant(many, "in-batch", jit_compile=True), 96),
            "ours, bfloat16": (train_ours.contestant(many, "in-batch", precision="bfloat16"), 96),
            "TFRS": (train_tfrs.contestant(raw_many, vocabularies_many, corrected=True), 5),
            "PyTorch": (train_torch.contestant(ids_many, loss="in-batch", compiled=False), 16),
            "PyTorch, compiled": (train_torch.contestant(ids_many, loss="in-batch", compiled=True), 16),
        },
        rounds,
    )
    wide = train_ours.read(large, CUSTOMERS_128)
    small = crossover.synthetic(products, rows=2, customers=600_000, config=CUSTOMERS_128)
    chosen = cost.cheaper_loss(cost.shape_of(small.config, small.encoders), small.purchases, products, BATCH)
    updates = alternate(
        {
            "row-wise Adam": (train_ours.contestant(small, chosen, lazy=True), 64),
            "Keras Adam": (train_ours.contestant(small, chosen, lazy=False), 3),
        },
        rounds,
    )
    updates_many = alternate(
        {
            "row-wise Adam": (train_ours.contestant(wide, "in-batch", lazy=True), 32),
            "Keras Adam": (train_ours.contestant(wide, "in-batch", lazy=False), 3),
        },
        rounds,
    )
    best = {
        kind: {name: max(found) for name, found in rates.items()}
        for kind, rates in (("full", full), ("in-batch", in_batch), ("updates", updates), ("many", updates_many))
    }
    distinct = train_ours.distinct_products(many)
    peak = ceiling.peak_gflops(products)
    share = {
        "full": best["full"]["ours"] / BATCH * ceiling.flops_per_step(queries=queries, candidates=products),
        "in-batch": best["in-batch"]["ours"] / BATCH * ceiling.flops_per_step(queries=BATCH, candidates=distinct),
    }
    for kind, title in (
        ("full", f"Full catalogue: {rows:,} rows, {ours.purchases.groups:,} queries, {products:,} products"),
        ("in-batch", f"In-batch: {many.purchases.rows:,} rows, {len(many.encoders.catalogue):,} products"),
        ("updates", f"600,000 customers x 128, {products:,} products, {chosen}"),
        ("many", f"600,000 customers x 128, {len(many.encoders.catalogue):,} products, in-batch"),
    ):
        table = Table(title=title)
        for column in ("", "examples/s", "ms a step", "ours is faster by"):
            table.add_column(column, justify="right" if column else "left")
        first = next(iter(best[kind].values()))
        for name, rate in best[kind].items():
            table.add_row(name, f"{rate:,.0f}", f"{1000 * BATCH / rate:.1f}", f"{first / rate:.1f}")
        console.print(table)
    console.print(f"matmul {peak:.0f} GFLOP/s; ours does {share['full'] / 1e9:.0f} and {share['in-batch'] / 1e9:.0f}")
    console.print(crossover.table())

    figures = {
        "full_catalogue_speedup_vs_tfrs": best["full"]["ours"] / best["full"]["TFRS"],
        "in_batch_speedup_vs_tfrs": best["in-batch"]["ours"] / best["in-batch"]["TFRS"],
        "full_catalogue_speedup_vs_torch": best["full"]["ours"] / max(_of(best["full"], "PyTorch")),
        "in_batch_speedup_vs_torch": best["in-batch"]["ours"] / max(_of(best["in-batch"], "PyTorch")),
        "full_catalogue_by_row_speedup_vs_tfrs": best["full"]["ours, row by row"] / best["full"]["TFRS"],
        "full_catalogue_by_row_speedup_vs_torch": best["full"]["ours, row by row"] / max(_of(best["full"], "PyTorch")),
        "lazy_adam_speedup": best["updates"]["row-wise Adam"] / best["updates"]["Keras Adam"],
        "ceiling_share_full_catalogue": share["full"] / peak / 1e9,
        "ceiling_share_in_batch": share["in-batch"] / peak / 1e9,
    }
    if recall:
        figures |= train_recall.race(demo, console)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _of(rates: dict[str, float], prefix: str) -> list[float]:
    return [rate for name, rate in rates.items() if name.startswith(prefix)]


if __name__ == "__main__":
    cli.run(compare)
