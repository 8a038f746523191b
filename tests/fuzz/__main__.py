"""`python -m tests.fuzz --mutations 1000 --seed 7`: tries mutations of two runs, and prints what became of them."""

import argparse
import os
import sys
from pathlib import Path

from tests.fuzz import fuzz


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        folder, *numbers = sys.argv[2:]
        mutations, seed, *places = map(int, numbers)
        fuzz.work(Path(folder), mutations, seed, range(*places))
        return
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutations", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    told = parser.parse_args()
    tried = fuzz.in_processes(told.mutations, told.seed, told.processes)
    wrong = fuzz.faults(tried)
    print(*wrong, *([""] if wrong else []), fuzz.table(tried), sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
