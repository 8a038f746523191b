"""Starts Beam pipelines in one way, from a string of ordinary Beam options. Imports Beam only when one is started."""

import contextlib
import hashlib
import logging
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from components.common.errors import InputError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

LOCAL_RUNNER = "FnApiRunner"  # by name: DirectRunner first tries to download another runner
IN_PROCESS = ("fnapirunner", "directrunner")  # all others may have workers on other machines
# Dataflow's workers import our code by its name, from the image: Beam pickles what lies in a module by reference. So
# neither a setup.py nor save_main_session is needed, but an image of the same commit, with the repository's root on its
# PYTHONPATH, that starts Beam's boot: https://cloud.google.com/dataflow/docs/guides/build-container-image
NEEDED = {
    "sdk_container_image": "the data image (components/Dockerfile), pushed to a registry that the workers can read",
    "project": "the project that the job runs in",
    "region": "a region of Dataflow, such as europe-west3",
    "temp_location": "gs://BUCKET/FOLDER for the job's temporary files, in a bucket of that region",
}


def options(text: str) -> "PipelineOptions":
    """Parses Beam options such as "--runner=DataflowRunner --region=europe-west1 ..."; none means: run here.

    Raises:
        InputError: an option that Beam does not know, which it would drop without a word, an unknown runner, or
            one on other machines without an option that it needs.
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
    if _is_dataflow(parsed):
        _expect_needed(parsed.get_all_options())
    return parsed


def is_remote(parsed: "PipelineOptions") -> bool:
    """Whether the workers may run on other machines, which cannot write to this one's disk."""
    return _runner(parsed) not in IN_PROCESS


def _is_dataflow(parsed: "PipelineOptions") -> bool:
    return _runner(parsed) == "dataflowrunner"


def _runner(parsed: "PipelineOptions") -> str:
    from apache_beam.options.pipeline_options import StandardOptions

    return str(parsed.view_as(StandardOptions).runner).rpartition(".")[2].lower()


def name_job(parsed: "PipelineOptions", output_path: str) -> None:
    """Names a Dataflow job after what it writes, unless the options name it.

    A job outlives its submitter. Dataflow runs one job of a name at a time, so a run that repeats a killed one is
    refused while the killed one's workers still write to the same path.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions

    job = parsed.view_as(GoogleCloudOptions)
    if _is_dataflow(parsed) and not job.job_name:
        job.job_name = f"metro-recs-{hashlib.sha256(output_path.encode()).hexdigest()[:16]}"


def _expect_needed(given: dict[str, Any]) -> None:
    """Raises InputError where Dataflow would fail late, or run an image that lacks our code."""
    for name, meaning in NEEDED.items():
        if not given[name]:
            remedy = f"Add --{name}=... to --runner=DataflowRunner."
            raise InputError(f"beam_options, --{name}", "nothing", meaning, remedy)
    if not given["temp_location"].startswith("gs://"):
        found, remedy = repr(given["temp_location"]), "Name a folder in a bucket."
        raise InputError("beam_options, --temp_location", found, NEEDED["temp_location"], remedy)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Around a pipeline: brings back the InputError of a worker, which Beam wraps into its own exceptions.

    Raises:
        InputError: a worker's, what a failed Dataflow job says last, or that the same job still runs.
    """
    logger = logging.getLogger("apache_beam.runners.common")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it would print the traceback of what is raised anyway
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            _raise_dataflows(error)
        if cause is None or cause is error:
            raise
        raise cause from None
    finally:
        logger.setLevel(level)


def _raise_dataflows(error: Exception) -> None:
    """Raises InputError for what Beam's DataflowRunner raises; compares names, so as not to import it for others."""
    kind = type(error).__name__
    if kind == "DataflowRuntimeException":
        # The job's last error is the traceback of a worker; its last line is the worker's own exception.
        last = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
        remedy = "Put right what it names, or look into the job's log in the console."
        raise InputError("Dataflow job", last, "a job that succeeds", remedy) from error
    if kind in ("DataflowJobAlreadyExistsError", "AlreadyExists"):
        remedy = "Wait until it ends, or cancel it: gcloud dataflow jobs list --status=active."
        raise InputError("Dataflow job", str(error), "no job that already writes this output", remedy) from error
