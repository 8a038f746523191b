"""What a run will cost at list prices: machine hours a step, Dataflow's workers, BigQuery's bytes. An estimate."""

import re
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from components.common.errors import InputError, expect_at_least
from pipelines import prices
from pipelines.demand import Asked, beam_options, is_table, machines_of
from pipelines.job import defaults
from pipelines.steps import STEPS

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


def estimate(job: dict[str, Any], hours: dict[str, float], rows: int = 0, region: str = "us-central1") -> Estimate:
    """The list price of a pipeline run.

    Args:
        job: The PipelineJob.
        hours: {step: hours}, of an earlier run or of the user.
        rows: Purchases, from which hours and bytes follow where they are not given; 0 when not known.
        region: Where it runs.

    Raises:
        InputError: hours of a step that the pipeline does not have.
    """
    spec = job["pipelineSpec"]
    values = defaults(spec) | job["runtimeConfig"]["parameterValues"]
    steps = {step: machines for step, machines in machines_of(spec).items() if machines}
    order = [*STEPS, *steps]
    bill = _Bill({step: steps[step] for step in sorted(steps, key=order.index)}, values, rows, region)
    bill.add_machines(hours)
    bill.add_dataflow()
    bill.add_bigquery()
    run = bill.prices["pipeline_run"]
    bill.sources.add(run["source"])
    bill.lines.insert(0, Line("pipeline run", "", None, run["usd"]))
    return bill.estimate()


def estimate_training(
    pools: list[Asked], values: dict[str, Any], hours: dict[str, float], rows: int = 0, region: str = "us-central1"
) -> Estimate:
    """The list price of a custom job that trains.

    Args:
        pools: Its machines.
        values: The Trainer's parameters.
        hours: {"trainer": hours}, if they are known.
        rows: Purchases, from which the hours follow where they are not given; 0 when not known.
        region: Where it runs.

    Raises:
        InputError: hours of another step.
    """
    bill = _Bill({"trainer": pools}, values, rows, region)
    bill.add_machines(hours)
    return bill.estimate()


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


class _Bill:
    """The bill while it is written."""

    def __init__(self, steps: dict[str, list[Asked]], values: dict[str, Any], rows: int, region: str):
        expect_at_least("--rows", rows, 0)
        self.steps, self.values, self.rows, self.region = steps, values, rows, region
        self.prices = prices.table()
        self.hours: dict[str, float] = {}
        self.lines: list[Line] = []
        self.sources: set[str] = set()
        self.assumptions = [
            f"list prices of {self.prices['date']} for {self.prices['region']}, in pipelines/prices.yaml; no retries",
            "a step without a machine type gets the cheapest machine in that file that is large enough",
        ]

    def estimate(self) -> Estimate:
        said = [f"{name}: {self.prices['sources'][name]}" for name in sorted(self.sources)]
        left_out = "not included: storage, logs, traffic between regions, BigQuery's small queries for the report"
        return Estimate(self.lines, [*self.assumptions, *said, left_out])

    def add_machines(self, given: dict[str, float]) -> None:
        """A line for every machine of every step; `given` hours go before those that follow from the rows."""
        if unknown := set(given) - set(self.steps):
            expected = f"steps of {', '.join(self.steps)}"
            raise InputError("--hours", ", ".join(sorted(unknown)), expected, "Correct the name.")
        self.hours = {**(self._hours_of_rows() if self.rows else {}), **given}
        for step, machines in self.steps.items():
            spent = self.hours.get(step)
            for machine in machines:
                name, hourly, sources = prices.of_machine(machine, self.prices)
                self.sources |= sources
                if hourly is None:
                    self.assumptions.append(f"{step}: {name} has no price in pipelines/prices.yaml")
                text = f"{machine.replicas} x {name}" if machine.replicas > 1 else name
                usd = None
                if spent is not None and hourly is not None:
                    usd = (spent + START_HOURS) * hourly * machine.replicas
                self._add(step, text, spent, usd)
            if any(machine.spot for machine in machines):
                self.assumptions.append(f"{step}: spot machines at the full price, which is the most they cost")
        if self.hours:
            self.assumptions.append(f"{START_HOURS * 60:.0f} minutes more a step to start it, billed")

    def add_dataflow(self) -> None:
        """Workers of the steps that Beam runs on Dataflow, all of them busy all the time: the most it costs."""
        given = beam_options(self.values)
        if given.get("runner") != "DataflowRunner":
            return
        text = given.get("max_num_workers") or given.get("num_workers") or str(WORKERS)
        if not text.isdecimal():
            raise InputError("beam_options", f"{text} workers", "a whole number", "Correct the number.")
        workers, machine = int(text), given.get("machine_type") or given.get("worker_machine_type") or WORKER
        hourly = self._dataflow_hour(machine)
        self.assumptions.append(f"Dataflow: {workers} workers of {machine}, busy as long as the step runs")
        for step in (step for step in ON_DATAFLOW if step in self.steps):
            spent = self.hours.get(step)
            usd = None if spent is None or hourly is None else workers * (spent + START_HOURS) * hourly
            self._add(f"Dataflow, {step}", f"{workers} x {machine}", spent, usd)

    def add_bigquery(self) -> None:
        """Bytes of the extraction: the log is queried twice, the finished rows once and then read."""
        limit = int(self.values.get("max_bytes_billed", 0) or 0)
        if not is_table(str(self.values.get("purchases", ""))):
            return
        rates = self.prices["bigquery"]
        self.sources.add(rates["query_tib"]["source"])
        if self.rows:
            queried, read = self.rows * (2 * ROW_BYTES + RESULT_BYTES), self.rows * RESULT_BYTES
            self.assumptions.append(f"BigQuery: {ROW_BYTES} bytes a purchase, {RESULT_BYTES} a finished row")
        elif limit:
            queried, read = 2 * limit, limit
            self.assumptions.append("BigQuery: as many bytes as max_bytes_billed allows, in both queries and reading")
        else:
            self._add("BigQuery", "", None, None)
            return
        usd = queried / TIB * rates["query_tib"]["usd"] + read / TIB * rates["read_tib"]["usd"]
        self._add("BigQuery", f"{queried / 2**30:.1f} GiB queried", None, usd)

    def _add(self, item: str, machine: str, hours: float | None, usd: float | None) -> None:
        """A line at the region's price, `usd` being that of the table's own region."""
        times = prices.factor(self.prices, self.region)
        if self.region != self.prices["region"] and self.prices["regions"]["source"] not in self.sources:
            self.sources.add(self.prices["regions"]["source"])
            self.assumptions.append(f"in {self.region} everything {times:g} times as dear, but the run's own fee")
        self.lines.append(Line(item, machine, hours, None if usd is None else usd * times))

    def _hours_of_rows(self) -> dict[str, float]:
        """Hours that so many purchases take: slower than on more cores or a GPU, so rather too much."""
        found = {}
        for step in self.steps:
            if step in ROWS_PER_S:
                found[step] = self.rows / ROWS_PER_S[step] / 3600
            elif step == "trainer":
                epochs = int(self.values.get("epochs", 1))
                trainings = 2 * int(self.values.get("ablation_seeds", 3)) if self.values.get("ablate") else 1
                share = float(self.values.get("train_share", 0.8)) * trainings
                if self.values.get("refit"):
                    share += float(self.values.get("train_share", 0.8)) + float(
                        self.values.get("validation_share", 0.15)
                    )
                trained = self.rows * share * epochs
                found[step] = trained / TRAINED_ROWS_PER_S / 3600
                text = f"trainer: all {epochs} epochs, though it stops early; as fast as on two cores, no faster"
                self.assumptions.append(text)
            else:
                found[step] = UNMEASURED_HOURS
                self.assumptions.append(f"{step}: {UNMEASURED_HOURS} h, assumed and not measured")
        text = f"{self.rows:,} rows at the speeds that README.md gives for two cores, taken for four virtual CPUs"
        self.assumptions.append(text)
        return found

    def _dataflow_hour(self, machine: str) -> float | None:
        """Dollars an hour of a worker with its disk; None for a machine whose size its name does not tell."""
        rates = self.prices["dataflow"]
        self.sources.add(rates["vcpu"]["source"])
        matched = re.fullmatch(r"(\w+)-(standard|highmem|highcpu)-(\d+)", machine)
        if not matched:
            return None
        cpus, n1 = int(matched[3]), matched[1] == "n1"
        each = {"standard": 3.75 if n1 else 4, "highmem": 6.5 if n1 else 8, "highcpu": 0.9 if n1 else 1}[matched[2]]
        memory, disk = cpus * each * rates["memory_gib"]["usd"], DISK_GIB * rates["disk_gib"]["usd"]
        return cpus * rates["vcpu"]["usd"] + memory + disk
