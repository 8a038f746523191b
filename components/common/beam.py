"""Starts Beam pipelines in one way, from a string of ordinary Beam options. Imports Beam only when one is started."""

import contextlib
import logging
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.common.errors import InputError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

LOCAL_RUNNER = "FnApiRunner"  # by name: DirectRunner first tries to download another runner


def options(text: str) -> "PipelineOptions":
    """Parses Beam options such as "--runner=DataflowRunner --region=europe-west1 ..."; none means: run here.

    Raises:
        InputError: an option that Beam does not know, which it would drop without a word, or an unknown runner.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners.runner import create_runner

    try:
        flags = shlex.split(text)
        logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
        parsed = PipelineOptions(flags)
        known = parsed.get_all_options()
        kept = parsed.get_all_options(retain_unknown_options=True)
    except (ValueError, SystemExit) as error:  # argparse exits
        raise InputError("beam_options", repr(text), "ordinary Beam options", "Correct the options.") from error
    unknown = [flag for flag in flags if not flag.startswith("--")] + sorted(kept.keys() - known.keys())
    if unknown:
        remedy = "Correct it; write options as --name=value."
        raise InputError("beam_options", unknown[0], "an option that Beam knows", remedy)
    if not any(flag.startswith("--runner") for flag in flags):
        flags.append(f"--runner={LOCAL_RUNNER}")
    parsed = PipelineOptions(flags)
    runner = parsed.view_as(StandardOptions).runner
    try:
        create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        remedy = "Correct it; leave it out to run here."
        raise InputError("beam_options, --runner", repr(runner), "a runner of Beam", remedy) from error
    return parsed


def is_remote(parsed: "PipelineOptions") -> bool:
    """Whether the workers run on other machines, which cannot write to this one's disk."""
    from apache_beam.options.pipeline_options import StandardOptions

    return "dataflow" in str(parsed.view_as(StandardOptions).runner).lower()


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Around a pipeline: brings back the InputError of a worker, which Beam wraps into its own exceptions."""
    logger = logging.getLogger("apache_beam.runners.common")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it would print the traceback of what is raised anyway
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__ or cause.__context__
        if cause is None or cause is error:
            raise
        raise cause from None
    finally:
        logger.setLevel(level)
