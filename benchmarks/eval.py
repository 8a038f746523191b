"""`make bench-eval`: exact ranks beside TFRS's FactorizedTopK, in turn, and how long the demo's evaluation takes."""

import json
import os
import sys
import tempfile
import time
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.demo_log import demo_log
from benchmarks.processes import measured
from components.common import cli, storage
from components.common.ranking import count_better, embedding_scores, recall

QUERIES, WIDTH, BATCH = 100_000, 32, 4096
SIZES = {1_500: 100_000, 100_000: 10 * BATCH}  # candidates: queries that the peer ranks in a round
KS = (5, 10, 50, 100)
PULL = 0.5  # of a query towards its target, for Recall beyond chance
CLOSE = 1e-6
EPOCHS = 12  # enough for a model whose evaluation is timed


class Drawn(NamedTuple):
    """Random embeddings: queries float32 [Q, D], candidates float32 [N, D], and the target of each query int32 [Q]."""

    queries: np.ndarray
    candidates: np.ndarray
    target: np.ndarray


def compare(*, rounds: int = 2, cache: str = ".cache") -> None:
    """Measures everything; takes about six minutes on two idle cores.

    Both contestants are given the same embeddings in memory, 32 wide, with one target for each of 100,000 queries, and
    return Recall@5, @10, @50 and @100. The peer searches its index for the best 100 of each query, in batches of 4,096,
    inside a tf.function, as `Model.evaluate` would. Among 100,000 candidates it ranks 40,960 of the queries, which
    takes it most of a minute; its rate does not depend on how many batches there are.

    Args:
        rounds: How often both run, in turn; the best counts.
        cache: Folder for the demo's data and model.
    """
    console = Console(highlight=False, width=140)
    table = Table(title=f"{QUERIES:,} queries, {WIDTH} wide, one target each; memory of a process of its own")
    for column in ("candidates", "", "queries", "seconds", "queries/s", "ours is faster by", *(f"@{k}" for k in KS)):
        table.add_column(column, justify="left" if column == "" else "right")
    for column in ("peak MiB", "of the inputs"):
        table.add_column(column, justify="right")
    speedup, peak = {}, {}
    for candidates, count in SIZES.items():
        best, recalls = race(candidates, count, rounds)
        speedup[candidates] = QUERIES / best["ours"] / (count / best["TFRS"])
        peak[candidates] = measured("benchmarks.eval:ranked", candidates=candidates).peak_mib
        alone = measured("benchmarks.eval:inputs", candidates=candidates).peak_mib
        for name, queries, faster, memory in (
            ("ours", QUERIES, 1.0, (peak[candidates], alone)),
            ("TFRS", count, speedup[candidates], ()),
        ):
            rate = queries / best[name]
            cells = f"{candidates:,}", name, f"{queries:,}", f"{best[name]:.2f}", f"{rate:,.0f}", f"{faster:.1f}"
            table.add_row(*cells, *(f"{value:.4f}" for value in recalls[name]), *(f"{mib:,.0f}" for mib in memory))
    console.print(table)

    log = demo_log(cache)
    if not os.path.exists(f"{log}/model"):
        measured("benchmarks.eval:trained", log=log)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        demo = measured("benchmarks.eval:evaluated", log=log, output=f"{folder}/evaluation")
    console.print(f"The demo: {demo.seconds:.1f} s, imports included, {demo.peak_mib:,.0f} MiB; {demo.result}")
    figures = {
        "eval_speedup_1500": round(speedup[1_500], 2),
        "eval_speedup_100k": round(speedup[100_000], 2),
        "eval_peak_mib_100k": round(peak[100_000]),
        "demo_evaluation_seconds": round(demo.seconds, 1),
    }
    print(json.dumps(figures))


def race(candidates: int, count: int, rounds: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Lets both rank, in turn, the peer the first `count` queries; returns the best seconds and Recall at each of KS.

    Raises:
        AssertionError: the Recalls of the queries that both ranked differ.
    """
    from benchmarks import eval_tfrs

    data = drawn(candidates)
    peer = eval_tfrs.contestant(data.candidates, KS, BATCH)
    peer(data.queries[:BATCH], data.target[:BATCH])  # traces
    best = {"ours": np.inf, "TFRS": np.inf}
    for _ in range(rounds):
        started = time.perf_counter()
        hits = ours(data)
        between = time.perf_counter()
        recalls = {"ours": hits.mean(axis=1), "TFRS": peer(data.queries[:count], data.target[:count])}
        taken = {"ours": between - started, "TFRS": time.perf_counter() - between}
        print(f"{candidates:,} candidates: {taken}", file=sys.stderr)
        agree(hits[:, :count].mean(axis=1), recalls["TFRS"])
        best = {name: min(best[name], seconds) for name, seconds in taken.items()}
    return best, recalls


def drawn(candidates: int, queries: int = QUERIES, seed: int = 1) -> Drawn:
    """Normal embeddings, so far apart that no order hangs on a rounding error of float32."""
    random = np.random.default_rng(seed)
    catalogue = random.standard_normal((candidates, WIDTH), np.float32)
    target = random.integers(0, candidates, queries, np.int32)
    return Drawn(random.standard_normal((queries, WIDTH), np.float32) + PULL * catalogue[target], catalogue, target)


def ours(data: Drawn) -> np.ndarray:
    """The chance of each query's hit at each of KS, float64 [K, Q]."""
    scores = embedding_scores(data.queries, data.candidates)
    ranks = count_better(scores, np.arange(len(data.target)), data.target, candidates=len(data.candidates))
    return np.stack([recall(*ranks, k) for k in KS])


def agree(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raises unless two rows of Recalls are the same."""
    if not np.abs(ours - theirs).max() < CLOSE:
        raise AssertionError(f"Recall@{KS} of the same queries: ours {ours}, TFRS's {theirs}")


def inputs(candidates: int) -> int:
    """What `ranked` starts from."""
    return len(drawn(candidates).target)


def ranked(candidates: int) -> list[float]:
    """Recall at each of KS."""
    return list(ours(drawn(candidates)).mean(axis=1))


def trained(log: str) -> float:
    """Trains the model that is evaluated, for a few epochs; returns its test Recall@100."""
    from benchmarks.train_ours import train_on

    document = train_on(log, f"{log}/model", epochs=EPOCHS)
    return float(document["metrics"]["test_metrics"]["test_recall_100"])


def evaluated(log: str, output: str) -> dict[str, Any]:
    """One run of the Evaluator; returns the model's Recalls."""
    from components.evaluator.evaluate import evaluate

    model, examples, vocabularies = (storage.join(log, name) for name in ("model", "examples", "vocabularies.json"))
    document = evaluate(model=model, examples=examples, vocabularies=vocabularies, output_path=output)
    figures = document["metrics"]["model"]
    return {name: round(figure["value"], 4) for name, figure in figures.items() if name.startswith("recall_")}


if __name__ == "__main__":
    cli.run(compare)
