"""A command called in this process: arguments in, exit code and output out."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def result_of(command: Callable[[], object], capsys: pytest.CaptureFixture[str], *arguments: str) -> Result:
    """What a command leaves behind that is called here with this process's arguments, the program's name first."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(arguments))
        try:
            command()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Result(code, *capsys.readouterr())
