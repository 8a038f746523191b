"""All cases, and a sample of them."""

import itertools
import random
from collections.abc import Iterator

from tests.fuzz.configs import config_cases
from tests.fuzz.documents import value_cases
from tests.fuzz.files import file_cases, shard_cases
from tests.fuzz.judge import Case
from tests.fuzz.logs import log_cases
from tests.fuzz.paths import path_cases
from tests.fuzz.readers import NEEDS
from tests.fuzz.runs import Run
from tests.fuzz.swaps import swap_cases

SOURCES = (value_cases, file_cases, shard_cases, path_cases, config_cases, log_cases)


def every(run: Run, other: Run) -> Iterator[Case]:
    """Tens of thousands, in an order that is always the same; none of what the runs did not come to."""
    for case in itertools.chain(*(cases(run) for cases in SOURCES), swap_cases(run, other)):
        if (run.folder / NEEDS.get(case.component, "")).exists():
            yield case


def sample(runs: tuple[Run, Run], mutations: int, seed: int) -> list[Case]:
    """So many cases, of every kind and component about equally many, in an order of their own.

    Args:
        runs: The one that is mutated, and another one.
        mutations: How many; fewer where there are not so many.
        seed: The same one chooses the same.
    """
    strata: dict[tuple[str, str], list[Case]] = {}
    for case in every(*runs):
        strata.setdefault((case.kind, case.component), []).append(case)
    draw = random.Random(seed)  # noqa: S311
    for cases in strata.values():
        draw.shuffle(cases)
    order = list(strata.values())
    draw.shuffle(order)
    chosen: list[Case] = []
    while order and len(chosen) < mutations:
        chosen.extend(cases.pop() for cases in order[: mutations - len(chosen)])
        order = [cases for cases in order if cases]
    return chosen
