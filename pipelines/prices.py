"""What a machine costs an hour: the table prices.yaml, and what it says of a step and of a region."""

from pathlib import Path
from typing import Any, NamedTuple

from components.common import documents
from pipelines.demand import Asked

FILE = Path(__file__).with_name("prices.yaml")


class Hourly(NamedTuple):
    """The machine that a step gets; `usd` an hour, None where the table does not have it; keys of `sources`."""

    machine: str
    usd: float | None
    sources: set[str]


def table() -> dict[str, Any]:
    """The price table, prices.yaml."""
    return dict(documents.parse(FILE.read_text(encoding="utf-8")))


def factor(prices: dict[str, Any], region: str) -> float:
    """By what the prices are multiplied in a region; one that the table does not have is as dear as any."""
    regions = prices["regions"]
    return float(regions.get(region, regions["elsewhere"]))


def of_machine(machine: Asked, prices: dict[str, Any]) -> Hourly:
    """What Vertex AI would give a step: the cheapest machine that is large enough."""
    fitting = []
    for name, entry in prices["machines"].items():
        beside = name.startswith("n1-") and machine.accelerator in prices["accelerators"]
        own = (entry.get("accelerator", ""), entry.get("accelerators", 0))
        if machine.type not in ("", name) or not (beside or own == (machine.accelerator, machine.accelerators)):
            continue
        if entry["cpus"] >= machine.cpus and entry["memory_gib"] >= machine.memory_gib:
            more = prices["accelerators"][machine.accelerator] if beside else {"usd": 0.0, "source": entry["source"]}
            usd = entry["usd"] + more["usd"] * machine.accelerators
            text = f"{name} + {machine.accelerators} {machine.accelerator}" if beside else name
            fitting.append((usd, text, {entry["source"], more["source"]}))
    if not fitting:
        asked = machine.type or f"{machine.cpus:g} CPUs, {machine.memory_gib:.0f} GiB"
        gpus = f" with {machine.accelerators} {machine.accelerator}" if machine.accelerator else ""
        return Hourly(f"{asked}{gpus}", None, set())
    usd, text, sources = min(fitting, key=lambda found: found[0])
    return Hourly(text, usd, sources)
