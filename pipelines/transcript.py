"""What kfp.local prints while it runs a pipeline, and our components in it, as events."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

# kfp.local's own lines begin with a time; it indents a step's, but in containers only some of them.
KFP = re.compile(r"\d\d:\d\d:\d\d\.\d{3} - [A-Z]+ - (.*)")
STARTED = re.compile(r"Executing task '(.+)'")
ENDED = re.compile(r"Task '(.+)' finished with status (SUCCESS|FAILURE)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
INDENT = "    "

# What libraries print. The executor's input takes many lines, up to its closing brace.
EXECUTOR = re.compile(r"\[KFP Executor [\d-]+ [\d:,]+ [A-Z]+\]: (.*)")
EXECUTOR_INPUT = "Got executor_input:"
NATIVE = re.compile(
    r"[IWEF]\d{4} \d\d:\d\d:|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWEF] |WARNING: All log messages before absl"
)
# What components.common.progress and the Trainer print.
PROGRESS = re.compile(
    r"[A-Z][^:]* \.\.\.|[A-Z][^:]*: ([\d.]+ s|[\d,]+ \w+ \(.*/s\))|(epoch|repeats) +\d+/\d+ .*|(ablation|refit): .*"
)
WARNING = "warning: "
INPUT_ERROR = re.compile(r"components\.common\.errors\.InputError: (.*)")


class Event(NamedTuple):
    """A step started, succeeded or failed; or a line: the step's own words, or those of kfp.local and libraries."""

    kind: Literal["started", "succeeded", "failed", "said", "noted"]
    step: str
    line: str


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Reads a transcript, in which steps follow each other.

    Args:
        lines: Without their ends. What comes before the first step has "" for a step, and kfp.local's complaint.
    """
    step, is_running, is_input = "", False, False
    for coloured in lines:
        line = COLOUR.sub("", coloured)
        if by_kfp := KFP.fullmatch(line):
            if started := STARTED.fullmatch(by_kfp[1]):
                step, is_running, is_input = started[1], True, False
                yield Event("started", step, line)
            elif ended := ENDED.fullmatch(by_kfp[1]):
                is_running = False
                yield Event("succeeded" if ended[2] == "SUCCESS" else "failed", step, line)
            else:
                yield Event("noted", step, line)
        elif not is_running:
            yield Event("noted" if step else "said", step, line)
        else:
            line = line.removeprefix(INDENT)
            by_executor = EXECUTOR.fullmatch(line)
            is_noise = is_input or by_executor or NATIVE.match(line) or not line
            is_input = bool(by_executor and by_executor[1] == EXECUTOR_INPUT) or (is_input and line != "}")
            yield Event("noted" if is_noise else "said", step, line)


def progress(line: str) -> str:
    """How far a step is, where a line that it said tells; else ""."""
    return line if PROGRESS.fullmatch(line) else ""


def bad_input(said: Iterable[str]) -> str:
    """The sentence about bad input, or "", in what a step that failed said last."""
    found = [match[1] for line in said if (match := INPUT_ERROR.fullmatch(line))]
    return found[-1] if found else ""
