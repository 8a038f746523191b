"""A plain function as a command line: its parameters are the flags, its docstring the help."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tyro

from components.common import disk
from components.common.errors import InputError

BAD_INPUT = 2
CLOSED_PIPE = 141  # as a shell reports a process that SIGPIPE ended


def run(function: Callable[..., Any]) -> None:
    """Calls `function` with the flags of this process and exits.

    Exit codes: 0 done, 2 bad flags or bad input (one sentence on stderr, no traceback).
    Anything else is a bug and shows its traceback.
    """
    with _explained():
        tyro.cli(function, prog=_program(), config=(tyro.conf.OmitArgPrefixes,))


def run_commands(commands: Mapping[str, Callable[..., Any]], description: str) -> None:
    """Calls the command that this process's first argument names, with the flags behind it; exits like `run`.

    Args:
        commands: What each command calls.
        description: Shown by --help, above the commands.
    """
    config = (tyro.conf.OmitArgPrefixes,)
    with _explained():
        tyro.extras.subcommand_cli_from_dict(dict(commands), prog=_program(), description=description, config=config)


def _program() -> str:
    """How this process was started, for the usage line."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else f"python {sys.argv[0]}"


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Ends the process with a sentence for bad input, and without a word where nobody reads what it prints."""
    try:
        yield
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except BrokenPipeError:  # such as `… | head`; https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        found = disk.fault(error, "")
        if found is None:
            raise
        print(f"error: {found}", file=sys.stderr)
        sys.exit(BAD_INPUT)
