"""`make bench-data`: the DataExtractor and the VocabBuilder beside the obvious Beam pipelines, alternated."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks import dataflow
from benchmarks.processes import Run, measured
from components.common import cli
from demo.data import prepare

TIMES = 10
BEAM = ("apache_beam", "apache_beam.runners.portability.fn_api_runner", "pandas")  # Arrow imports the last one


def compare(*, rounds: int = 2, cache: str = ".cache") -> None:
    """Measures both, every contestant in a process of its own; takes about ten minutes.

    Times leave out imports. Extraction is bound to one core and is all that the component does, from raw tables to
    shards and data report; its peer runs the same queries, and then encodes and writes row by row. The vocabularies
    are built from the log ten times over, and may use all cores; the peer too gives sorted tokens with counts, moments
    and quantiles.

    Args:
        rounds: How often the extraction and its peer run, in turn; the median counts.
        cache: Folder for the demo data and the repeated log.
    """
    console = Console(highlight=False)
    purchases, products = prepare(f"{cache}/demo/all")
    repeated = _repeated(purchases, f"{cache}/bench/purchases_{TIMES}x.parquet")
    runs: dict[str, list[Run]] = {}

    def run(name: str, function: str, cores: int, preload: tuple[str, ...], **arguments: str) -> Run:
        done = measured(f"benchmarks.{function}", cores, preload, **arguments)
        runs.setdefault(name, []).append(done)
        print(f"{name}: {done.seconds:.1f} s, {done.peak_mib:,.0f} MiB", file=sys.stderr)
        return done

    with tempfile.TemporaryDirectory(dir=cache) as folder:
        examples, stored, many = f"{folder}/examples", f"{folder}/rows.parquet", f"{folder}/many"
        tables = {"purchases": purchases, "products": products}
        for _ in range(rounds):
            rows = run("extract", "data_ours:examples", 1, BEAM, **tables, output=examples).result
            run("extract, the query alone", "data_ours:store_rows", 1, BEAM, **tables, output=stored)
            run("extract, naive after the query", "data_naive:extract", 1, (), rows=stored, output=f"{folder}/naive")
        tables["purchases"] = repeated
        run(f"extract, {TIMES}x", "data_ours:examples", 1, BEAM, **tables, output=many)
        train_rows = run("vocabularies", "data_ours:vocabularies", 0, (*BEAM, "tensorflow"), examples=many).result
        run("vocabularies, per row", "data_naive:vocabularies", 0, (), examples=many)
        run("vocabularies", "data_ours:vocabularies", 0, (*BEAM, "tensorflow"), examples=many)

    seconds = {name: median(run.seconds for run in done) for name, done in runs.items()}
    counts = {"vocabularies": train_rows, "vocabularies, per row": train_rows, f"extract, {TIMES}x": TIMES * rows}
    speed = {name: counts.get(name, rows) / taken for name, taken in seconds.items()}
    naive = seconds["extract, the query alone"] + seconds["extract, naive after the query"]
    table = Table(title=f"{rows:,} purchases, {rounds} rounds; vocabularies of {train_rows:,} rows")
    for column in ("", "seconds", "rows/s", "peak MiB"):
        table.add_column(column, justify="right" if column else "left")
    for name, taken in seconds.items():
        peak = max(run.peak_mib for run in runs[name])
        table.add_row(name, f"{taken:.1f}", f"{speed[name]:,.0f}", f"{peak:,.0f}")
    console.print(table)
    console.print(dataflow.paper(speed["extract"]))
    figures = {
        "extract_rows_per_s": round(speed["extract"]),
        "extract_speedup_vs_naive": round(naive / seconds["extract"], 1),
        "vocab_rows_per_s": round(speed["vocabularies"]),
        "vocab_speedup_vs_per_row": round(speed["vocabularies"] / speed["vocabularies, per row"], 1),
        "extract_peak_mib_1x": round(max(run.peak_mib for run in runs["extract"])),
        "extract_peak_mib_10x": round(runs[f"extract, {TIMES}x"][0].peak_mib),
        "extract_rows_per_s_10x": round(speed[f"extract, {TIMES}x"]),
    }
    print(json.dumps(figures))


def _repeated(purchases: str, path: str) -> str:
    """The log ten times, each time with new customer ids."""
    import duckdb

    if not os.path.exists(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        sql = f"""
            SELECT cust_person_id || '-' || copy AS cust_person_id, * EXCLUDE (cust_person_id, copy)
            FROM read_parquet($path), range({TIMES}) AS copies(copy)
        """  # noqa: S608  a constant of our own
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            connection.sql(sql, params={"path": purchases}).write_parquet(f"{path}.partial", compression="zstd")
        shutil.move(f"{path}.partial", path)
    return path


if __name__ == "__main__":
    cli.run(compare)
