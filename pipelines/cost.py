"""What a run will cost at list prices: machine hours a step, Dataflow's workers, BigQuery's bytes. An estimate."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rich.console import Console
from rich.table import Table

from components.common.errors import InputError, expect_at_least
from pipelines.demand import Asked, beam_options, is_table, machines_of
from pipelines.job import declared
from pipelines.steps import STEPS

PRICES = Path(__file__).with_name("prices.yaml")
START_HOURS = 4 / 60  # machine and image of a step, until its code runs
# Rows a second on two cores, here taken for four virtual CPUs: README, "How fast the data plane is" and "More rows".
ROWS_PER_S = {"data-extractor": 243_951, "vocab-builder": 703_868}
TRAINED_ROWS_PER_S = 71_901
UNMEASURED_HOURS = 0.5
ROW_BYTES, RESULT_BYTES = 100, 250  # of a purchase's five columns in BigQuery; of a finished row
ON_DATAFLOW = ("data-extractor", "vocab-builder")
WORKERS, WORKER, DISK_GIB = 4, "n1-standard-4", 25
TIB = 2**40


class Line(NamedTuple):
    """One item of the bill; `usd` is None where it is not known."""

    item: str
    machine: str
    hours: float | None
    usd: float | None


class Estimate(NamedTuple):
    """The bill and what it rests on."""

    lines: list[Line]
    assumptions: list[str]

    @property
    def usd(self) -> float:
        """The sum of what is known."""
        return sum(line.usd or 0.0 for line in self.lines)

    @property
    def unknown(self) -> list[str]:
        return [line.item for line in self.lines if line.usd is None]


def prices() -> dict[str, Any]:
    """The price table, prices.yaml."""
    return yaml.safe_load(PRICES.read_text(encoding="utf-8"))


def estimate(job: dict[str, Any], hours: dict[str, float], rows: int = 0) -> Estimate:
    """The list price of a run.

    Args:
        job: The PipelineJob.
        hours: {step: hours}, of an earlier run or of the user.
        rows: Purchases, from which hours and bytes follow where they are not given; 0 when not known.

    Raises:
        InputError: hours of a step that the pipeline does not have.
    """
    expect_at_least("--rows", rows, 0)
    spec, table = job["pipelineSpec"], prices()
    values = {name: body["defaultValue"] for name, body in declared(spec).items() if "defaultValue" in body}
    values |= job["runtimeConfig"]["parameterValues"]
    steps = {step: machines for step, machines in machines_of(spec).items() if machines}
    order = [*STEPS, *steps]
    steps = {step: steps[step] for step in sorted(steps, key=order.index)}
    if unknown := set(hours) - set(steps):
        raise InputError("--hours", ", ".join(sorted(unknown)), f"steps of {', '.join(steps)}", "Correct the name.")
    assumptions = [
        f"list prices of {table['date']} for {table['region']} (pipelines/prices.yaml), nothing retried",
        "a step without a machine type gets the cheapest machine in that file that is large enough",
    ]
    hours = {**(_hours_of(rows, steps, values, assumptions) if rows else {}), **hours}
    lines = [Line("pipeline run", "", None, table["pipeline_run"]["usd"])]
    sources = {table["pipeline_run"]["source"]}
    for step, machines in steps.items():
        for machine in machines:
            name, hourly, source = _price(machine, table)
            sources |= source
            if hourly is None:
                assumptions.append(f"{step}: {name} has no price in pipelines/prices.yaml")
            spent = hours.get(step)
            text = f"{machine.replicas} x {name}" if machine.replicas > 1 else name
            cost = None if spent is None or hourly is None else (spent + START_HOURS) * hourly * machine.replicas
            lines.append(Line(step, text, spent, cost))
        if any(machine.spot for machine in machines):
            assumptions.append(f"{step}: spot machines at the full price, which is the most they cost")
    if any(line.hours is not None for line in lines):
        assumptions.append(f"{START_HOURS * 60:.0f} minutes more a step to start it, billed")
    lines += _dataflow(values, hours, steps, table, sources, assumptions)
    lines += _bigquery(values, rows, table, sources, assumptions)
    assumptions += [f"{name}: {table['sources'][name]}" for name in sorted(sources)]
    assumptions.append("not included: storage, logs, traffic between regions, BigQuery's small queries for the report")
    return Estimate(lines, assumptions)


def show(found: Estimate, console: Console) -> None:
    """Prints the bill, and every assumption under it."""
    table = Table(title="Estimate at list prices, US dollars", show_footer=True)
    table.add_column("item", "all that is known" if found.unknown else "all")
    table.add_column("machine")
    table.add_column("hours", justify="right")
    table.add_column("$", f"{found.usd:.2f}", justify="right")
    for line in found.lines:
        spent = "" if line.hours is None else f"{line.hours:.2f}"
        table.add_row(line.item, line.machine, spent, "unknown" if line.usd is None else f"{line.usd:.2f}")
    console.print(table)
    for text in found.assumptions:
        console.print(f"- {text}", soft_wrap=True)


def expect_below(found: Estimate, limit: float) -> None:
    """Raises InputError when a run may cost more than `limit` dollars, or when nobody can tell; 0 sets no limit."""
    expect_at_least("--max-cost", limit, 0)
    if not limit:
        return
    if found.unknown:
        remedy = "Give --rows, --hours STEP=HOURS or --hours-from an earlier run, or a price in pipelines/prices.yaml."
        raise InputError("--max-cost", f"no estimate of {', '.join(found.unknown)}", "all of them", remedy)
    if found.usd > limit:
        remedy = "Raise --max-cost, choose smaller machines, or train for fewer epochs."
        raise InputError("--max-cost", f"an estimate of {found.usd:.2f} $", f"{limit:.2f} $ at most", remedy)


def _hours_of(rows: int, steps: dict[str, Any], values: dict[str, Any], assumptions: list[str]) -> dict[str, float]:
    """Hours that so many purchases take: slower than they would on more cores or a GPU, so rather too much."""
    found = {}
    for step in steps:
        if step in ROWS_PER_S:
            found[step] = rows / ROWS_PER_S[step] / 3600
        elif step == "trainer":
            epochs = int(values.get("epochs", 1))
            trainings = 2 * int(values.get("ablation_seeds", 3)) if values.get("ablate") else 1
            trained = rows * float(values.get("train_share", 0.8)) * epochs * trainings
            found[step] = trained / TRAINED_ROWS_PER_S / 3600
            assumptions.append(
                f"trainer: all {epochs} epochs, though it stops early; as fast as on two cores, no faster"
            )
        else:
            found[step] = UNMEASURED_HOURS
            assumptions.append(f"{step}: {UNMEASURED_HOURS} h, assumed and not measured")
    assumptions.append(f"{rows:,} rows at the speeds that README.md gives for two cores, taken for four virtual CPUs")
    return found


def _price(machine: Asked, table: dict[str, Any]) -> tuple[str, float | None, set[str]]:
    """(machine, dollars an hour, sources) of what Vertex AI would give a step: the cheapest that is enough.

    The dollars are None for a machine that the table does not have.
    """
    fitting = []
    for name, entry in table["machines"].items():
        beside = name.startswith("n1-") and machine.accelerator in table["accelerators"]
        own = (entry.get("accelerator", ""), entry.get("accelerators", 0))
        if machine.type not in ("", name) or not (beside or own == (machine.accelerator, machine.accelerators)):
            continue
        if entry["cpus"] >= machine.cpus and entry["memory_gib"] >= machine.memory_gib:
            more = table["accelerators"][machine.accelerator] if beside else {"usd": 0.0, "source": entry["source"]}
            usd = entry["usd"] + more["usd"] * machine.accelerators
            text = f"{name} + {machine.accelerators} {machine.accelerator}" if beside else name
            fitting.append((usd, text, {entry["source"], more["source"]}))
    if not fitting:
        asked = machine.type or f"{machine.cpus:g} CPUs, {machine.memory_gib:.0f} GiB"
        gpus = f" with {machine.accelerators} {machine.accelerator}" if machine.accelerator else ""
        return f"{asked}{gpus}", None, set()
    usd, text, sources = min(fitting, key=lambda found: found[0])
    return text, usd, sources


def _dataflow(
    values: dict[str, Any],
    hours: dict[str, float],
    steps: dict[str, Any],
    table: dict[str, Any],
    sources: set[str],
    assumptions: list[str],
) -> list[Line]:
    """Workers of the steps that Beam runs on Dataflow, all of them busy all the time: the most it costs."""
    given = beam_options(values)
    if given.get("runner") != "DataflowRunner":
        return []
    text = given.get("max_num_workers") or given.get("num_workers") or str(WORKERS)
    if not text.isdecimal():
        raise InputError("beam_options", f"{text} workers", "a whole number", "Correct the number.")
    workers = int(text)
    machine = given.get("machine_type") or given.get("worker_machine_type") or WORKER
    matched = re.fullmatch(r"(\w+)-(standard|highmem|highcpu)-(\d+)", machine)
    if not matched:
        return [Line(f"Dataflow, {step}", machine, None, None) for step in ON_DATAFLOW if step in steps]
    cpus, n1 = int(matched[3]), matched[1] == "n1"
    gib = cpus * {"standard": 3.75 if n1 else 4, "highmem": 6.5 if n1 else 8, "highcpu": 0.9 if n1 else 1}[matched[2]]
    rates = table["dataflow"]
    hourly = cpus * rates["vcpu"]["usd"] + gib * rates["memory_gib"]["usd"] + DISK_GIB * rates["disk_gib"]["usd"]
    sources.add(rates["vcpu"]["source"])
    assumptions.append(f"Dataflow: {workers} workers of {machine}, busy as long as the step runs")
    lines = []
    for step in (step for step in ON_DATAFLOW if step in steps):
        spent = hours.get(step)
        usd = None if spent is None else workers * (spent + START_HOURS) * hourly
        lines.append(Line(f"Dataflow, {step}", f"{workers} x {machine}", spent, usd))
    return lines


def _bigquery(
    values: dict[str, Any], rows: int, table: dict[str, Any], sources: set[str], assumptions: list[str]
) -> list[Line]:
    """Bytes of the extraction: the log is queried twice, the finished rows once and then read."""
    limit = int(values.get("max_bytes_billed", 0) or 0)
    if not is_table(str(values.get("purchases", ""))):
        return []
    rates = table["bigquery"]
    sources.add(rates["query_tib"]["source"])
    if rows:
        queried, read = rows * (2 * ROW_BYTES + RESULT_BYTES), rows * RESULT_BYTES
        assumptions.append(f"BigQuery: {ROW_BYTES} bytes a purchase, {RESULT_BYTES} a finished row")
    elif limit:
        queried, read = 2 * limit, limit
        assumptions.append("BigQuery: as many bytes as max_bytes_billed allows, for both queries and for the reading")
    else:
        return [Line("BigQuery", "", None, None)]
    usd = queried / TIB * rates["query_tib"]["usd"] + read / TIB * rates["read_tib"]["usd"]
    return [Line("BigQuery", f"{queried / 2**30:.1f} GiB queried", None, usd)]
