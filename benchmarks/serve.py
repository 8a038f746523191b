"""`make bench-serve`: our server beside the plainest one, in turn, on two cores; a soak; requests to refuse."""

import json
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import serve_fuzz, serve_release, serve_send
from benchmarks.serve_load import Load, Server, load, resident_mib, serving, soak, wrk
from components.common import cli

PLAIN_APP, PLAIN_RELEASE = "benchmarks.serve_plain:app", "BENCH_RELEASE"
K, CUSTOMERS, CORES = 10, 256, 2
CONNECTIONS = (1, 8, 64)
BUSY = CONNECTIONS[-1]
OURS, UNBATCHED, PLAIN = "ours", "ours, one request a call", "plain FastAPI"
TOLERANCE = 1e-4  # of a score: a batch of another size adds up in another order
FUZZ_BODY_SECONDS = "1"


class Answers(NamedTuple):
    """What the model itself says to each customer: all products, best first, int64 [C, N] and float32 [C, N]."""

    ids: np.ndarray
    scores: np.ndarray


def compare(
    *,
    release: str = "",
    cache: str = ".cache",
    rounds: int = 3,
    seconds: float = 10,
    soak_seconds: float = 180,
    fuzz: int = 10_000,
    seed: int = 1,
) -> None:
    """Measures everything; takes about eight minutes on two idle cores.

    Every request asks ten products for one customer of the demo's test split, from connections that are kept. The peer
    is the same SavedModel behind a FastAPI handler, run by uvicorn as it comes, without its access log. All answers of
    both are compared with the model's own beforehand, ours under load. wrk, which makes the load, runs on the same two
    cores as the servers.

    Args:
        release: release/ to serve; by default one of the demo, made once.
        cache: Folder for the demo's data and model.
        rounds: How often all are measured, in turn; the best throughput counts.
        seconds: Of one measurement.
        soak_seconds: How long the load is kept up for errors and memory.
        fuzz: How many requests to refuse.
        seed: They are the same for the same seed.
    """
    wrk()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    console = Console(highlight=False, width=120)
    release, examples = serve_release.prepared(release, cache)
    columns = serve_release.customers(examples, CUSTOMERS)
    bodies = [json.dumps({"instances": [{**customer, "k": K}]}, ensure_ascii=False) for customer in columns]
    model_folder = str(Path(release, "saved_model"))
    truth = Answers(*serve_release.truth(model_folder, columns))

    flags = ("--release", release)
    with (
        serving("serving_image.main", *flags) as ours,
        serving("serving_image.main", *flags, "--max-batch", "1") as unbatched,
        serving("uvicorn", PLAIN_APP, "--no-access-log", **{PLAIN_RELEASE: model_folder}) as plain,
    ):
        servers = {OURS: ours, UNBATCHED: unbatched, PLAIN: plain}
        for name, server in servers.items():
            check(name, server, bodies, truth)
        found = measure(servers, bodies, rounds, seconds)
        console.print(table(found))
        memory = ", ".join(f"{name} {resident_mib(server.pid):,.0f} MiB" for name, server in servers.items())
        console.print(f"memory: {memory}")
    with serving("serving_image.main", *flags) as server:
        kept, settled, end = soak(server, mixed(bodies, truth), BUSY, soak_seconds)
        check(OURS, server, bodies, truth)
    console.print(
        f"soak: {kept.requests:,} requests in {kept.seconds:.0f} s, {kept.refused + kept.broken} errors, "
        f"{settled:,.1f} MiB after the first minute, {end:,.1f} at the end"
    )
    with serving("serving_image.main", *flags, "--body-seconds", FUZZ_BODY_SECONDS) as server:
        complaints = serve_send.wrong(server.port, serve_fuzz.requests(fuzz, seed))
        check(OURS, server, bodies, truth)
        said = server.log.read_text(encoding="utf-8")
    complaints += ["the server's log has a traceback"] * ("Traceback" in said)
    for complaint in complaints[:10]:
        console.print(complaint, markup=False)
    console.print(f"fuzz: {fuzz:,} requests, {len(complaints)} answered otherwise than they should be")
    best = {name: found[name, BUSY] for name in servers}
    figures = {
        "serve_requests_per_s_64": round(best[OURS].per_second),
        "serve_speedup_vs_plain_64": round(best[OURS].per_second / best[PLAIN].per_second, 2),
        "serve_p99_ms_64": round(best[OURS].p99, 2),
        "serve_plain_p99_ms_64": round(best[PLAIN].p99, 2),
        "serve_speedup_of_batching_64": round(best[OURS].per_second / best[UNBATCHED].per_second, 2),
        "soak_errors": kept.refused + kept.broken,
        "soak_memory_growth_mib": round(end - settled, 1),
        "fuzz_requests": fuzz,
        "fuzz_server_errors": len(complaints),
    }
    print(json.dumps(figures))


def measure(servers: dict[str, Server], bodies: list[str], rounds: int, seconds: float) -> dict[tuple[str, int], Load]:
    """The best load of each server and number of connections; servers take turns.

    Raises:
        AssertionError: an answer was no 200.
    """
    best: dict[tuple[str, int], Load] = {}
    for _ in range(rounds):
        for connections in CONNECTIONS:
            for name, server in servers.items():
                found = load(server, bodies, connections, seconds)
                if found.refused or found.broken:
                    raise AssertionError(f"{name}, {connections} connections: {found}")
                key = name, connections
                if key not in best or found.per_second > best[key].per_second:
                    best[key] = found
    return best


def table(found: dict[tuple[str, int], Load]) -> Table:
    made = Table(title=f"one customer a request, {K} products, wrk on the same {CORES} cores")
    for column in ("connections", "", "requests/s", "p50 ms", "p95 ms", "p99 ms"):
        made.add_column(column, justify="left" if column == "" else "right")
    for connections in CONNECTIONS:
        for name in (OURS, UNBATCHED, PLAIN):
            load = found[name, connections]
            latencies = (f"{value:.2f}" for value in (load.p50, load.p95, load.p99))
            made.add_row(str(connections), name, f"{load.per_second:,.0f}", *latencies)
    return made


def mixed(bodies: list[str], truth: Answers) -> list[str]:
    """The same customers, every other one with exclusions, a k of its own or several instances."""
    asked = []
    for place, body in enumerate(bodies):
        instance = json.loads(body)["instances"][0]
        if place % 4 == 1:
            instance["exclude"] = truth.ids[place, : 1 + place % 50].tolist()
        elif place % 4 == 2:
            instance["k"] = 1 + place % 100
        count = 1 + place % 3 if place % 4 == 3 else 1
        asked.append(json.dumps({"instances": [instance] * count}, ensure_ascii=False))
    return asked


def check(name: str, server: Server, bodies: list[str], truth: Answers) -> None:
    """Raises AssertionError unless every answer, asked for by many at once, is the model's own."""
    with ThreadPoolExecutor(BUSY) as pool:
        answers = list(pool.map(lambda body: ask(server, body), bodies))
    for place, answer in enumerate(answers):
        scores = dict(zip(truth.ids[place].tolist(), truth.scores[place].tolist(), strict=True))
        found = [scores[product] for product in answer["product_ids"]]
        best = truth.scores[place, :K]
        right = len(found) == K and len(set(answer["product_ids"])) == K
        if not right or not np.allclose([found, answer["scores"]], best, TOLERANCE, TOLERANCE):
            raise AssertionError(f"{name}, {bodies[place]}: {answer}, but the model's scores are {best}")


def ask(server: Server, body: str) -> dict[str, Any]:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/predict", body.encode(), headers)
    with urllib.request.urlopen(request) as response:  # noqa: S310  of our own server
        prediction: dict[str, Any] = json.loads(response.read())["predictions"][0]
    return prediction


if __name__ == "__main__":
    cli.run(compare)
