"""A plain function as a command line: its parameters are the flags, its docstring the help."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import tyro

from components.common.errors import InputError

BAD_INPUT = 2


def run(function: Callable[..., Any]) -> None:
    """Calls `function` with the flags of this process and exits.

    Exit codes: 0 done, 2 bad flags or bad input (one sentence on stderr, no traceback).
    Anything else is a bug and shows its traceback.
    """
    try:
        tyro.cli(function, prog=_program(), config=(tyro.conf.OmitArgPrefixes,))
    except InputError as error:
        sys.exit(_complain(error))


def run_commands(commands: Mapping[str, Callable[..., Any]], description: str) -> None:
    """Calls the command that this process's first argument names, with the flags behind it; exits like `run`.

    Args:
        commands: What each command calls.
        description: Shown by --help, above the commands.
    """
    config = (tyro.conf.OmitArgPrefixes,)
    try:
        tyro.extras.subcommand_cli_from_dict(dict(commands), prog=_program(), description=description, config=config)
    except InputError as error:
        sys.exit(_complain(error))


def _program() -> str:
    """How this process was started, for the usage line."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else f"python {sys.argv[0]}"


def _complain(error: InputError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return BAD_INPUT
