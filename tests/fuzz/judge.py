"""One try: a run is copied, one thing in it is changed, a component reads it, and what it says is judged."""

import contextlib
import json
import random
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from components.common.errors import InputError
from tests.fuzz.readers import READERS, Figures
from tests.fuzz.runs import Run

CPU_SECONDS, SECONDS = 120, 3_600  # after which a try hangs: it takes less than one, where nobody else computes
REFUSED, ACCEPTED, TRACEBACK, SILENT, HANG, WRONG = (
    "refused",
    "accepted",
    "traceback",
    "silent pass",
    "hang",
    "wrong words",
)
OUTCOMES = (REFUSED, ACCEPTED, TRACEBACK, SILENT, HANG, WRONG)
FAULTS = (TRACEBACK, SILENT, HANG, WRONG)


class Scene(NamedTuple):
    """What a mutation may change, and what it may take from.

    Attributes:
        run: A copy of the first run.
        other: The second run; to be read only.
        output: Where the component is to write.
        draw: Random numbers of this try alone.
        during: Contexts that hold while the component reads.
    """

    run: Run
    other: Run
    output: Path
    draw: random.Random
    during: contextlib.ExitStack


Mutation = Callable[[Scene], Mapping[str, str] | None]  # returns arguments in place of the run's paths
Rule = Callable[[Figures, Figures], bool]  # whether figures of the mutated run are right, beside those of the first


def same(found: Figures, base: Figures) -> bool:
    return found == base


def anything(found: Figures, base: Figures) -> bool:
    return True


class Case(NamedTuple):
    """One mutation and the component that reads it.

    Attributes:
        kind: Of mutation, for the table.
        component: One of READERS.
        what: The mutation in words.
        mutate: Makes it.
        names: What a refusal must name: of every group one at least.
        right: Which figures are right where it is accepted.
        refusable: Whether a refusal is right too.
    """

    kind: str
    component: str
    what: str
    mutate: Mutation
    names: tuple[tuple[str, ...], ...] = ()
    right: Rule = same
    refusable: bool = True


class Outcome(NamedTuple):
    """What became of a try: one of OUTCOMES, and what was said."""

    name: str
    said: str


class HangError(BaseException):
    """The watchdog's."""


class Fuzzer:
    """Tries cases on copies of a run.

    Args:
        runs: Two finished runs.
        seed: With a case's words, of its random numbers.
    """

    def __init__(self, runs: tuple[Run, Run], seed: int):
        self.one, self.other = runs
        self.seed = seed
        self.base: dict[str, Figures] = {}

    def __call__(self, case: Case) -> Outcome:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as during:
            run = self.one.copied(Path(folder) / "run")
            during.enter_context(contextlib.chdir(folder))
            draw = random.Random(f"{self.seed} {case.kind} {case.component} {case.what}")  # noqa: S311
            scene = Scene(run, self.other, Path(folder) / "output" / "made", draw, during)
            try:
                with watched():
                    paths = case.mutate(scene) or {}
                    there = _contents(scene.output)
                    with during:
                        found = READERS[case.component](run, scene.output, **paths)
            except InputError as error:
                left = _contents(scene.output) != there and case.component not in ("tuning", "search")
                return _refused(case, str(error), left)
            except HangError:
                return Outcome(HANG, traceback.format_exc(limit=-3))
            except (Exception, SystemExit) as error:
                return Outcome(TRACEBACK, _short(error))
        found, base = _plain(found), self._base(case.component)
        if case.right(found, base):
            return Outcome(ACCEPTED, "")
        return Outcome(SILENT, f"other figures: {', '.join(differences(found, base)[:8])}")

    def _base(self, component: str) -> Figures:
        """What the component makes of the first run as it is."""
        if component not in self.base:
            with tempfile.TemporaryDirectory() as folder:
                run = self.one.copied(Path(folder) / "run")
                found = READERS[component](run, Path(folder) / "made")
            self.base[component] = _plain(found)
        return self.base[component]


def _plain(figures: Figures) -> Figures:
    """Figures as JSON gives them back."""
    return dict(json.loads(json.dumps(figures, sort_keys=True, default=repr)))


def _refused(case: Case, said: str, left: bool) -> Outcome:
    if not case.refusable:
        return Outcome(WRONG, f"should work: {said}")
    missing = [group for group in case.names if not any(name in said for name in group)]
    if missing:
        return Outcome(WRONG, f"names none of {' / '.join(missing[0])}: {said}")
    return Outcome(WRONG, f"left an output: {said}") if left else Outcome(REFUSED, said)


def differences(found: Any, base: Any, where: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(found, dict) and isinstance(base, dict):
        keys = [*base, *(key for key in found if key not in base)]
        return [one for key in keys for one in differences(found.get(key), base.get(key), f"{where}.{key}".lstrip("."))]
    return [] if found == base else [f"{where} {json.dumps(base)[:40]} became {json.dumps(found)[:40]}"]


def _contents(path: Path) -> dict[str, bytes | None]:
    """All files below a path, or the file itself."""
    paths = [path, *path.rglob("*")] if path.exists() else []
    return {str(one): one.read_bytes() if one.is_file() else None for one in paths}


def _short(error: BaseException) -> str:
    """The error, and where in our code it was raised."""
    frames = [
        f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not {"site-packages", "fuzz"} & set(Path(frame.filename).parts[-6:]) and "lib/python" not in frame.filename
    ]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]} ({' < '.join(frames[::-1][:3])})"


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raises HangError in the block when it takes too long; needs the main thread."""

    def bark(number: int, frame: Any) -> None:
        raise HangError

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, CPU_SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, SECONDS))
    before = {number: signal.signal(number, bark) for number, _, _ in timers}
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for _, timer, _ in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
